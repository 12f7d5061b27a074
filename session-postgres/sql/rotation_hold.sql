-- rotation_hold: what stands under the ID that a session is about to leave, locked until the end of the transaction.
-- $1 key
SELECT head, ''::bytea AS body, revision, created_ms, absolute_end_ms, expires_ms, fence,
    floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, user_key, labels
FROM latchkey_records
WHERE key = $1
FOR UPDATE
