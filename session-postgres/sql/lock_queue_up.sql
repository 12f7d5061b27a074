-- lock_queue_up: enters a process into the queue of a lock, or keeps its place.
-- $1 key  $2 process  $3 owner  $4 how long the place is kept, in ms
INSERT INTO latchkey_waiters (key, process, owner, until_ms)
SELECT $1, $2, $3, clock.ms + $4
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
ON CONFLICT (key, process) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms
