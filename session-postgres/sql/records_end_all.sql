-- records_end_all: ends whatever can be read.
-- $1 how long what is left stays, in ms
UPDATE latchkey_records
SET head = overlay(head PLACING '\x54' FROM 4 FOR 1),
    body = '',
    user_key = NULL,
    labels = '',
    expires_ms = clock.ms + $1
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE expires_ms > clock.ms AND substring(head FROM 1 FOR 4) IN ('\x4c4b014c', '\x4c4b0146', '\x4c4b0141')
