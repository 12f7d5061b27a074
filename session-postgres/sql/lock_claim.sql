-- lock_claim: a process of the queue takes the lock that was handed over to it, or that has run out and whose turn it is.
-- $1 key  $2 owner  $3 TTL in ms  $4 the token has to be larger  $5 process
-- Returns the fencing token, or null; and in how many ms the lock runs out.
WITH clock AS (
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
), claimed AS (
    INSERT INTO latchkey_locks AS lock (key, owner, until_ms, fence)
    SELECT $1, $2, clock.ms + $3::bigint, greatest($4, clock.ms * 1024) + 1
    FROM clock
    ON CONFLICT (key) DO UPDATE
    SET owner = excluded.owner,
        until_ms = excluded.until_ms,
        fence = greatest(lock.fence + 1, excluded.fence)
    WHERE lock.owner IS NULL
        OR lock.owner = excluded.owner
        OR (
            lock.until_ms <= excluded.until_ms - $3::bigint
            AND NOT EXISTS (
                SELECT FROM latchkey_waiters AS earlier, latchkey_waiters AS mine
                WHERE earlier.key = excluded.key AND mine.key = excluded.key AND mine.process = $5
                    AND earlier.ticket < mine.ticket
                    AND earlier.until_ms > excluded.until_ms - $3::bigint
            )
        )
    RETURNING lock.fence
), left_queue AS (
    DELETE FROM latchkey_waiters
    WHERE key = $1 AND process = $5 AND EXISTS (SELECT FROM claimed)
)
SELECT
    (SELECT fence FROM claimed),
    COALESCE((SELECT until_ms - clock.ms FROM latchkey_locks WHERE key = $1), 0)
FROM clock
