-- record_load_locked: reads a live session for the holder of a token, and shuts all earlier holders out.
-- $1 key  $2 token
-- Why it is safe beside another one: the second waits for the row, and looks at its fence again.
UPDATE latchkey_records AS record
SET fence = $2
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND fence < $2 AND expires_ms > clock.ms
    AND octet_length(head) >= 46 AND substring(head FROM 1 FOR 4) = '\x4c4b014c'
RETURNING head, body, revision, created_ms, absolute_end_ms, expires_ms, fence, clock.ms
