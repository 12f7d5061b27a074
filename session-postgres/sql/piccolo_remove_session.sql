-- piccolo_remove_session: ends a session, whatever its age.
-- $1 token
DELETE FROM sessions WHERE token = $1
