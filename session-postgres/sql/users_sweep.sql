-- users_sweep: forgets users who have no sessions, some at once. No ticket for a login is older than 25 hours.
-- $1 how many at most
DELETE FROM latchkey_users
WHERE user_key IN (
    SELECT user_key
    FROM latchkey_users AS known,
        (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
    WHERE NOT disabled AND changed_ms < clock.ms - 90000000
        AND NOT EXISTS (SELECT FROM latchkey_records AS record WHERE record.user_key = known.user_key)
    LIMIT $1
    FOR UPDATE OF known SKIP LOCKED
)
