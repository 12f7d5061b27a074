-- Sessions as a secondary interface sees them: for reports and other services. Times are milliseconds since 1970, by the
-- clock of the primary.
CREATE TABLE latchkey_secondary (
    -- Which secondary: several may stand in one database.
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    session uuid NOT NULL,
    -- Changes with a smaller one come too late.
    version bigint NOT NULL CHECK (version >= 0),
    ended boolean NOT NULL,
    created_ms bigint,
    absolute_end_ms bigint,
    idle_end_ms bigint,
    user_id text CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    is_json boolean NOT NULL DEFAULT false,
    is_sealed boolean NOT NULL DEFAULT false,
    body bytea NOT NULL DEFAULT '' CHECK (octet_length(body) <= 68157440),
    -- One key for each value, where that was asked for; the body is empty then.
    values jsonb CHECK (jsonb_typeof(values) = 'object'),
    -- From when on nobody needs to know of it, by the clock of this database.
    forget_ms bigint NOT NULL CHECK (forget_ms >= 0),
    created timestamptz GENERATED ALWAYS AS (to_timestamp(created_ms / 1000.0)) STORED,
    absolute_end timestamptz GENERATED ALWAYS AS (to_timestamp(absolute_end_ms / 1000.0)) STORED,
    idle_end timestamptz GENERATED ALWAYS AS (to_timestamp(idle_end_ms / 1000.0)) STORED,
    PRIMARY KEY (name, session),
    CHECK (ended OR (created_ms IS NOT NULL AND absolute_end_ms IS NOT NULL AND idle_end_ms IS NOT NULL)),
    -- Nothing of the contents of a session outlives its end.
    CHECK (NOT ended OR (octet_length(body) = 0 AND values IS NULL AND user_id IS NULL))
);

CREATE INDEX latchkey_secondary_forget ON latchkey_secondary (forget_ms);
CREATE INDEX latchkey_secondary_user ON latchkey_secondary (user_id) WHERE user_id IS NOT NULL;
