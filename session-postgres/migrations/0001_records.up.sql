-- Sessions. Times are milliseconds since 1970, by the clock of the database.
CREATE TABLE latchkey_records (
    -- SHA-256 of the session's ID, and its bucket: nobody can make the cookie from it.
    key bytea PRIMARY KEY CHECK (octet_length(key) = 34),
    -- What follows the first three numbers in the header of a record; those stand in columns.
    head bytea NOT NULL CHECK (octet_length(head) BETWEEN 1 AND 142),
    body bytea NOT NULL CHECK (octet_length(body) <= 68157440),
    revision bigint NOT NULL CHECK (revision >= 0),
    created_ms bigint NOT NULL CHECK (created_ms >= 0),
    absolute_end_ms bigint NOT NULL CHECK (absolute_end_ms >= 0),
    idle_ms bigint NOT NULL CHECK (idle_ms >= 0),
    expires_ms bigint NOT NULL CHECK (expires_ms >= 0),
    -- The largest fencing token that has loaded the session; nobody with a smaller one writes.
    fence bigint NOT NULL DEFAULT 0 CHECK (fence BETWEEN 0 AND 9007199254740991),
    -- Tag and bucket of its user.
    user_key bytea CHECK (octet_length(user_key) = 10),
    labels bytea NOT NULL DEFAULT '' CHECK (octet_length(labels) <= 1024),
    -- In steps of five minutes, so that a use of the session rarely has to change an index.
    expires_slot bigint NOT NULL GENERATED ALWAYS AS (expires_ms / 300000) STORED,
    -- A session ('L') never outlives its absolute end. What is left of it when it was ended may.
    CHECK (substring(head FROM 1 FOR 4) <> '\x4c4b014c' OR expires_ms <= absolute_end_ms)
) WITH (fillfactor = 70);

CREATE INDEX latchkey_records_expires ON latchkey_records (expires_slot);
