-- secondary_load: what is known of a session that lives.
-- $1 secondary  $2 session (16 bytes)
SELECT created_ms, absolute_end_ms, idle_end_ms, user_id, is_json, is_sealed, body, values::text
FROM latchkey_secondary
WHERE name = $1 AND session = encode($2::bytea, 'hex')::uuid AND NOT ended
    AND least(idle_end_ms, absolute_end_ms) > extract(epoch FROM clock_timestamp()) * 1000
