-- piccolo_extend_session: whose live session it is; one that is close to its expiry gets more time, up to its limit.
-- $1 token  $2 time zone of the table's timestamps  $3 how close that is, and how much more, in seconds
-- Why it is safe beside another one: the second waits for the row, looks at it again, and finds that it is not close.
WITH found AS MATERIALIZED (
    SELECT id, user_id, moment, make_interval(secs => $3) AS more
    FROM sessions, (SELECT now() AT TIME ZONE $2::text AS moment) AS clock
    WHERE token = $1 AND expiry_date > moment AND max_expiry_date > moment
    ORDER BY id
    LIMIT 1
), extended AS (
    UPDATE sessions
    SET expiry_date = LEAST(sessions.expiry_date + found.more, sessions.max_expiry_date)
    FROM found
    WHERE sessions.id = found.id AND sessions.expiry_date - found.moment < found.more
)
SELECT user_id FROM found
