-- record_destroy: ends a session, or a frozen copy of one, whoever holds its lock.
-- $1 key  $2 how long what is left stays, in ms
-- Returns a row if there was one.
UPDATE latchkey_records
SET head = overlay(head PLACING '\x54' FROM 4 FOR 1),
    body = '',
    user_key = NULL,
    labels = '',
    expires_ms = clock.ms + $2
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND expires_ms > clock.ms
    AND octet_length(head) >= 46 AND substring(head FROM 1 FOR 4) IN ('\x4c4b014c', '\x4c4b0146')
RETURNING true
