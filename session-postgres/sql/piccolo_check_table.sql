-- piccolo_check_table: fails where the table or the time zone is not what is needed.
-- $1 time zone
SELECT now() AT TIME ZONE $1::text
FROM (SELECT 1) AS one
LEFT JOIN (
    SELECT id, token, user_id, expiry_date, max_expiry_date FROM sessions LIMIT 0
) AS columns ON true
