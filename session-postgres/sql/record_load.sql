-- record_load: what can be read under a key, with the time.
-- $1 key
SELECT head, body, revision, created_ms, absolute_end_ms, expires_ms, fence, clock.ms
FROM latchkey_records,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND expires_ms > clock.ms
