-- record_touch: a use of a live session, which moves its idle end, upwards and never past its absolute end.
-- $1 key
UPDATE latchkey_records
SET expires_ms = least(clock.ms + idle_ms, absolute_end_ms)
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND expires_ms > clock.ms AND octet_length(head) >= 46
    AND substring(head FROM 1 FOR 4) = '\x4c4b014c'
    AND expires_ms < least(clock.ms + idle_ms, absolute_end_ms)
