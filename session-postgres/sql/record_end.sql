-- record_end: the holder of a token ends a session. What is left tells late writers what became of it.
-- $1 key  $2 token  $3 how long that stays, in ms
-- Returns a row if it is the holder's and lived.
UPDATE latchkey_records
SET head = overlay(head PLACING '\x54' FROM 4 FOR 1),
    body = '',
    user_key = NULL,
    labels = '',
    expires_ms = clock.ms + $3
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND fence = $2 AND expires_ms > clock.ms
    AND octet_length(head) >= 46 AND substring(head FROM 1 FOR 4) = '\x4c4b014c'
RETURNING true
