-- piccolo_create_session: stores a session.
-- $1 token  $2 user  $3 time zone of the table's timestamps  $4, $5 seconds until it expires, and at the latest
INSERT INTO sessions (token, user_id, expiry_date, max_expiry_date)
SELECT $1, $2, moment + make_interval(secs => $4), moment + make_interval(secs => $5)
FROM (SELECT now() AT TIME ZONE $3::text AS moment) AS clock
