-- secondary_sweep: forgets sessions that ended long ago, some at once.
-- $1 how many at most
DELETE FROM latchkey_secondary
WHERE (name, session) IN (
    SELECT name, session
    FROM latchkey_secondary
    WHERE forget_ms <= extract(epoch FROM clock_timestamp()) * 1000
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
