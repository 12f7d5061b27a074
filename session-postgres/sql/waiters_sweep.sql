-- waiters_sweep: forgets processes that have waited and are gone, some at once.
-- $1 how many at most
DELETE FROM latchkey_waiters
WHERE (key, process) IN (
    SELECT key, process
    FROM latchkey_waiters,
        (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
    WHERE until_ms < clock.ms - 60000
    LIMIT $1
    FOR UPDATE OF latchkey_waiters SKIP LOCKED
)
