-- records_share: keeps `records_alone` waiting until the end of the transaction.
-- $1 a number that stands for that
SELECT pg_advisory_xact_lock_shared($1)
