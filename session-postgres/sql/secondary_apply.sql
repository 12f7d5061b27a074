-- secondary_apply: takes a version of a session over, or its end, if it is newer than what is known.
-- $1 secondary  $2 session (16 bytes)  $3 version  $4 whether it has ended  $5 created in ms  $6 absolute end in ms
-- $7 idle end in ms  $8 user, or null  $9 whether the body is JSON  $10 whether it is sealed  $11 body
-- $12 values as JSON, or null  $13 how long it is remembered after its end, in ms
-- Returns a row if it was.
INSERT INTO latchkey_secondary AS known (
    name, session, version, ended, created_ms, absolute_end_ms, idle_end_ms, user_id, is_json, is_sealed, body, values,
    forget_ms
)
SELECT $1, encode($2::bytea, 'hex')::uuid, $3, $4, $5::bigint, $6::bigint, $7::bigint, $8, $9, $10, $11, $12::text::jsonb,
    greatest(clock.ms, COALESCE($6::bigint, 0)) + $13::bigint
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
ON CONFLICT (name, session) DO UPDATE
SET version = excluded.version,
    ended = excluded.ended,
    created_ms = excluded.created_ms,
    absolute_end_ms = excluded.absolute_end_ms,
    idle_end_ms = excluded.idle_end_ms,
    user_id = excluded.user_id,
    is_json = excluded.is_json,
    is_sealed = excluded.is_sealed,
    body = excluded.body,
    values = excluded.values,
    forget_ms = excluded.forget_ms
WHERE known.version < excluded.version
RETURNING true
