-- gino_load_session: the JSON of a live session.
-- $1 session ID
SELECT val
FROM sessions
WHERE sid = $1 AND val IS NOT NULL AND expires_at > now() AT TIME ZONE 'UTC'
