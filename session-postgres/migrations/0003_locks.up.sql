-- Leases, for those who lock without Redis. Times are milliseconds since 1970, by the clock of the database.
CREATE TABLE latchkey_locks (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 34),
    -- Under which random value it is held; null: it is free.
    owner bytea CHECK (octet_length(owner) = 16),
    until_ms bigint NOT NULL CHECK (until_ms >= 0),
    -- The last fencing token.
    fence bigint NOT NULL CHECK (fence BETWEEN 0 AND 9007199254740991),
    -- In days, so that a lease rarely has to change an index.
    until_day bigint NOT NULL GENERATED ALWAYS AS (until_ms / 86400000) STORED
) WITH (fillfactor = 50);

CREATE INDEX latchkey_locks_until ON latchkey_locks (until_day);

-- Processes that wait for a lock, each once.
CREATE TABLE latchkey_waiters (
    key bytea NOT NULL CHECK (octet_length(key) = 34),
    process bigint NOT NULL,
    -- Under which owner value it wants the lock.
    owner bytea NOT NULL CHECK (octet_length(owner) = 16),
    -- The order in which they came.
    ticket bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- Whoever has not looked again by then is passed over.
    until_ms bigint NOT NULL CHECK (until_ms >= 0),
    PRIMARY KEY (key, process)
);
