-- gino_create_session: stores a session where none stands.
-- $1 session ID  $2 JSON  $3 seconds until it expires
INSERT INTO sessions (created_at, expires_at, sid, val)
SELECT moment, moment + make_interval(secs => $3), $1, $2
FROM (SELECT now() AT TIME ZONE 'UTC' AS moment) AS clock
ON CONFLICT DO NOTHING
