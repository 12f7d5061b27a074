-- record_look: what stands under a key, be it one whose time is up, with the time.
-- $1 key
SELECT head, body, revision, created_ms, absolute_end_ms, expires_ms, fence, clock.ms
FROM latchkey_records,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1
