-- The largest fencing token of each resource, for what has no row of its own.
CREATE TABLE IF NOT EXISTS fencing_tokens (
    resource bytea PRIMARY KEY,
    fencing_token bigint NOT NULL CHECK (fencing_token > 0)
)
