-- rotation_point: puts an alias in the place of a session.
-- $1 key  $2 head  $3 body  $4 revision  $5 created in ms  $6 absolute end in ms  $7 idle timeout in ms
-- $8 end of the grace in ms
UPDATE latchkey_records
SET head = $2,
    body = $3,
    revision = $4,
    created_ms = $5,
    absolute_end_ms = $6,
    idle_ms = $7,
    expires_ms = least(expires_ms, $8),
    user_key = NULL,
    labels = ''
WHERE key = $1
