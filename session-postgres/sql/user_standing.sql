-- user_standing: what a login is held against that begins now.
-- $1 user
SELECT COALESCE(epoch, 0), COALESCE(disabled, false), clock.ms
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
    LEFT JOIN latchkey_users ON user_key = $1
