-- rotation_enter: stores what goes on under a new ID.
-- $1 key  $2 head  $3 body  $4 revision  $5 created in ms  $6 absolute end in ms  $7 idle timeout in ms
-- $8 expiry in ms  $9 user, or null  $10 labels
INSERT INTO latchkey_records
    (key, head, body, revision, created_ms, absolute_end_ms, idle_ms, expires_ms, user_key, labels)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
