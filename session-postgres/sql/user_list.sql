-- user_list: the live sessions of a user, the oldest first.
-- $1 user
SELECT head, ''::bytea AS body, revision, created_ms, absolute_end_ms, expires_ms, fence, clock.ms, key, labels
FROM latchkey_records,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE user_key = $1 AND expires_ms > clock.ms AND substring(head FROM 1 FOR 4) = '\x4c4b014c'
ORDER BY created_ms, revision
