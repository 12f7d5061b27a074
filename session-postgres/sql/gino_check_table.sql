-- gino_check_table: fails where the table is not what is needed.
SELECT created_at, expires_at, sid, val FROM sessions LIMIT 0
