-- locks_renew: gives locks that are still held their TTL again.
-- $1 keys  $2 owners  $3 TTLs in ms
-- Returns for each, in order: whether it was, and whether somebody else holds it.
WITH clock AS (
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
), asked AS (
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) WITH ORDINALITY AS asked (key, owner, ttl_ms, number)
), renewed AS (
    UPDATE latchkey_locks AS lock
    SET until_ms = clock.ms + asked.ttl_ms
    FROM asked, clock
    WHERE lock.key = asked.key AND lock.owner = asked.owner AND lock.until_ms > clock.ms
    RETURNING asked.number
)
SELECT
    EXISTS (SELECT FROM renewed WHERE renewed.number = asked.number),
    EXISTS (SELECT FROM latchkey_locks AS lock WHERE lock.key = asked.key AND lock.owner <> asked.owner)
FROM asked
ORDER BY asked.number
