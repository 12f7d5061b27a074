-- rotation_end: ends what stands under a key, if it is of that kind.
-- $1 key  $2 until when what is left stays, in ms  $3 now in ms  $4 kind: 'L' or 'A'
UPDATE latchkey_records
SET head = overlay(head PLACING '\x54' FROM 4 FOR 1),
    body = '',
    user_key = NULL,
    labels = '',
    expires_ms = $2
WHERE key = $1 AND expires_ms > $3
    AND substring(head FROM 1 FOR 4) = '\x4c4b01'::bytea || $4::bytea
