-- records_sweep: removes records whose time is up, some at once. Nobody waits for a row.
-- $1 how many at most
DELETE FROM latchkey_records
WHERE key IN (
    SELECT key
    FROM latchkey_records,
        (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
    WHERE expires_slot <= clock.ms / 300000 AND expires_ms <= clock.ms
    LIMIT $1
    FOR UPDATE OF latchkey_records SKIP LOCKED
)
