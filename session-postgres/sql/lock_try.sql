-- lock_try: locks what nobody holds or waits for.
-- $1 key  $2 owner  $3 TTL in ms  $4 the token has to be larger
-- Returns the fencing token: from the clock if nothing is known of the lock any more; no row: others come first.
INSERT INTO latchkey_locks AS lock (key, owner, until_ms, fence)
SELECT $1, $2, clock.ms + $3::bigint, greatest($4, clock.ms * 1024) + 1
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
ON CONFLICT (key) DO UPDATE
SET owner = excluded.owner,
    until_ms = excluded.until_ms,
    fence = greatest(lock.fence + 1, excluded.fence)
WHERE lock.owner IS NULL
    OR lock.owner = excluded.owner
    OR (
        lock.until_ms <= excluded.until_ms - $3::bigint
        AND NOT EXISTS (
            SELECT FROM latchkey_waiters AS waiter
            WHERE waiter.key = excluded.key AND waiter.until_ms > excluded.until_ms - $3::bigint
        )
    )
RETURNING lock.fence
