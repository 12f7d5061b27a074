-- lock_release: frees the lock if this owner still holds it, or hands it over to the process that has waited longest.
-- That is an offer for a short time, which the process makes a lease of by `lock_claim`.
-- $1 key  $2 owner  $3 how long the offer stands, in ms
WITH clock AS (
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
), next AS (
    SELECT process, owner
    FROM latchkey_waiters, clock
    WHERE key = $1 AND until_ms > clock.ms
    ORDER BY ticket
    LIMIT 1
), freed AS (
    UPDATE latchkey_locks AS lock
    SET owner = next.owner,
        until_ms = CASE WHEN next.owner IS NULL THEN clock.ms ELSE clock.ms + $3::bigint END
    FROM clock LEFT JOIN next ON true
    WHERE lock.key = $1 AND lock.owner = $2
    RETURNING lock.key
), left_queue AS (
    DELETE FROM latchkey_waiters AS waiter
    USING next, freed
    WHERE waiter.key = $1 AND waiter.process = next.process
)
SELECT pg_notify('latchkey_' || next.process, encode(freed.key, 'hex'))::text FROM next, freed
