-- record_touch_locked: a use by the holder of a token.
-- $1 key  $2 token
-- Returns a row if it is the holder's and lives.
UPDATE latchkey_records
SET expires_ms = greatest(expires_ms, least(clock.ms + idle_ms, absolute_end_ms))
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND fence = $2 AND expires_ms > clock.ms
    AND octet_length(head) >= 46 AND substring(head FROM 1 FOR 4) = '\x4c4b014c'
RETURNING true
