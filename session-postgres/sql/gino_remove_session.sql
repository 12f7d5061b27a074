-- gino_remove_session: ends a session, whatever its age.
-- $1 session ID
DELETE FROM sessions WHERE sid = $1
