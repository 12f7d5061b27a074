-- user_revoke: ends sessions of a user.
-- $1 user  $2 the handle that is meant or spared, or null: all are meant  $3 whether it is meant
-- $4 how long what is left stays, in ms
UPDATE latchkey_records
SET head = overlay(head PLACING '\x54' FROM 4 FOR 1),
    body = '',
    user_key = NULL,
    labels = '',
    expires_ms = clock.ms + $4
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE user_key = $1 AND expires_ms > clock.ms AND substring(head FROM 1 FOR 4) = '\x4c4b014c'
    AND ($2::bytea IS NULL OR (substring(head FROM 21 FOR 16) = $2) = $3)
RETURNING true
