-- gino_commit_session: replaces the JSON of a live session by another, if it is the one that was loaded.
-- $1 session ID  $2 JSON  $3 JSON that was loaded  $4 seconds until it expires
-- Returns whether it did, and whether the session lives.
WITH clock AS (
    SELECT now() AT TIME ZONE 'UTC' AS moment
), changed AS (
    UPDATE sessions
    SET val = $2, expires_at = moment + make_interval(secs => $4)
    FROM clock
    WHERE sid = $1 AND val = $3 AND expires_at > moment
    RETURNING 1
)
SELECT
    EXISTS (SELECT FROM changed),
    EXISTS (SELECT FROM sessions, clock WHERE sid = $1 AND val IS NOT NULL AND expires_at > moment)
