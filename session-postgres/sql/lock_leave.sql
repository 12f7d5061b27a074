-- lock_leave: an owner value waits no longer.
-- $1 key  $2 owner
DELETE FROM latchkey_waiters WHERE key = $1 AND owner = $2
