-- secondary_seen: moves the idle end of a session forward, never past its absolute end.
-- $1 secondary  $2 session (16 bytes)  $3 idle end in ms
UPDATE latchkey_secondary
SET idle_end_ms = least($3, absolute_end_ms)
WHERE name = $1 AND session = encode($2::bytea, 'hex')::uuid AND NOT ended
    AND idle_end_ms < least($3, absolute_end_ms)
