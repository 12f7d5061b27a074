-- migrations_table: which migrations have been run.
CREATE TABLE IF NOT EXISTS latchkey_migrations (
    version integer PRIMARY KEY CHECK (version > 0),
    name text NOT NULL CHECK (length(name) <= 100),
    applied_at timestamptz NOT NULL DEFAULT now()
)
