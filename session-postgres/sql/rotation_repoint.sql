-- rotation_repoint: lets an alias that stands yet point elsewhere, until its own end.
-- $1 key  $2 head  $3 body  $4 now in ms
UPDATE latchkey_records
SET head = $2, body = $3
WHERE key = $1 AND expires_ms > $4 AND substring(head FROM 1 FOR 4) = '\x4c4b0141'
