-- The lock is the shop's own, and ends with the transaction.
SELECT pg_advisory_xact_lock(7310581296483915);
CREATE TABLE IF NOT EXISTS shop_migrations (
    number integer PRIMARY KEY,
    run_at timestamptz NOT NULL DEFAULT now()
);
