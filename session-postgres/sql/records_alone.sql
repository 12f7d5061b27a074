-- records_alone: waits until no session is on its way to another ID, and lets none begin that.
-- $1 a number that stands for that
SELECT pg_advisory_xact_lock($1)
