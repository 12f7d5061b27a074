-- migrations_lock: waits until nobody else migrates, and keeps others from it until the end of the transaction.
-- $1 a number that stands for that
SELECT pg_advisory_xact_lock($1)
