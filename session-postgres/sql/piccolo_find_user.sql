-- piccolo_find_user: whose live session it is.
-- $1 token  $2 time zone of the table's timestamps
SELECT user_id
FROM sessions, (SELECT now() AT TIME ZONE $2::text AS moment) AS clock
WHERE token = $1 AND expiry_date > moment AND max_expiry_date > moment
ORDER BY id
LIMIT 1
