-- locks_sweep: forgets locks that nobody has held for a day, some at once. The clock stands in for their tokens.
-- $1 how many at most
DELETE FROM latchkey_locks
WHERE key IN (
    SELECT key
    FROM latchkey_locks,
        (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
    WHERE until_day < clock.ms / 86400000 - 1
    LIMIT $1
    FOR UPDATE OF latchkey_locks SKIP LOCKED
)
