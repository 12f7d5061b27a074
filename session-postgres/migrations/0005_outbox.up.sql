-- What waits for secondary interfaces: which sessions have changed, and nothing of their contents.
CREATE TABLE latchkey_outbox (
    -- The key of the session's record.
    key bytea NOT NULL CHECK (octet_length(key) = 34),
    secondary text NOT NULL CHECK (length(secondary) BETWEEN 1 AND 32),
    -- Out of the way, because the secondary does not take it.
    aside boolean NOT NULL DEFAULT false,
    -- The session's handle.
    session bytea NOT NULL CHECK (octet_length(session) = 16),
    -- Twice the revision, and one more for an end.
    version bigint NOT NULL CHECK (version >= 0),
    bucket integer NOT NULL GENERATED ALWAYS AS (get_byte(key, 32) * 256 + get_byte(key, 33)) STORED,
    PRIMARY KEY (key, secondary, aside)
);

CREATE INDEX latchkey_outbox_order ON latchkey_outbox (secondary, aside, bucket, version);

-- One row: the secondaries that all processes write through to.
CREATE TABLE latchkey_outbox_list (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    names text[] NOT NULL CHECK (cardinality(names) <= 16)
);

-- Who delivers what part of the outbox, by its first bucket, and until when.
CREATE TABLE latchkey_outbox_parts (
    part integer PRIMARY KEY CHECK (part >= 0),
    deliverer bigint NOT NULL,
    until_ms bigint NOT NULL CHECK (until_ms >= 0)
);
