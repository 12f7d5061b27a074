-- record_create: stores a session for the first time, where nothing stands whose time is not up.
-- $1 key  $2 head  $3 body  $4 absolute timeout in ms  $5 idle timeout in ms  $6 user, or null  $7 labels
-- Returns the revision; no row: something stands there.
INSERT INTO latchkey_records AS record
    (key, head, body, revision, created_ms, absolute_end_ms, idle_ms, expires_ms, user_key, labels)
SELECT $1, $2, $3, clock.ms, clock.ms, clock.ms + $4, $5, clock.ms + least($5, $4), $6, $7
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
ON CONFLICT (key) DO UPDATE
SET head = excluded.head,
    body = excluded.body,
    revision = excluded.revision,
    created_ms = excluded.created_ms,
    absolute_end_ms = excluded.absolute_end_ms,
    idle_ms = excluded.idle_ms,
    expires_ms = excluded.expires_ms,
    fence = 0,
    user_key = excluded.user_key,
    labels = excluded.labels
WHERE record.expires_ms <= excluded.created_ms
RETURNING record.revision
