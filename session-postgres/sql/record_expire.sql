-- record_expire: a session ends whose new version would have no time left.
-- $1 key  $2 token  $3 what identifies the version that was loaded
UPDATE latchkey_records
SET body = '', user_key = NULL, expires_ms = least(expires_ms, clock.ms)
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND fence = $2 AND substring(head FROM 1 FOR 12) = $3
