-- outbox_claim: lets one process at a time deliver what a part of the outbox holds.
-- $1 first bucket of the part  $2 process  $3 for how long in ms
-- Returns a row if it has it.
INSERT INTO latchkey_outbox_parts AS known (part, deliverer, until_ms)
SELECT $1, $2, clock.ms + $3::bigint
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
ON CONFLICT (part) DO UPDATE SET deliverer = excluded.deliverer, until_ms = excluded.until_ms
WHERE known.deliverer = excluded.deliverer OR known.until_ms <= excluded.until_ms - $3::bigint
RETURNING true
