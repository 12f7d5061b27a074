-- floor_raise: every login that has begun is refused.
UPDATE latchkey_floor
SET revoked_ms = greatest(revoked_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
