-- rotation_freeze: makes a session a copy for readers, for the grace.
-- $1 key  $2 end of the grace in ms
UPDATE latchkey_records
SET head = overlay(head PLACING '\x46' FROM 4 FOR 1),
    expires_ms = least(expires_ms, $2),
    user_key = NULL,
    labels = ''
WHERE key = $1
