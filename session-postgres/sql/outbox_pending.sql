-- outbox_pending: what waits for a secondary, the oldest first in each bucket, and what stands under the keys of the sessions.
-- Why one statement: that nothing stands there means the end only if the session was not moved in between.
-- $1 secondary  $2 first bucket  $3 last bucket  $4 the largest version  $5 how many at most
-- $6 behind how many bytes of sessions it ends
SELECT head, body, revision, created_ms, absolute_end_ms, expires_ms, fence, ms, key, session, version
FROM (
    SELECT record.*, clock.ms, noted.key, noted.session, noted.version, noted.bucket,
        sum(
            CASE
                WHEN record.expires_ms > clock.ms AND substring(record.head FROM 1 FOR 4) = '\x4c4b014c'
                THEN octet_length(record.body)
                ELSE 0
            END
        ) OVER (
            ORDER BY noted.bucket, noted.version, noted.key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
    FROM (
        SELECT key, session, version, bucket
        FROM latchkey_outbox
        WHERE secondary = $1 AND NOT aside AND bucket BETWEEN $2 AND $3 AND version <= $4
        ORDER BY bucket, version
        LIMIT $5
    ) AS noted
        CROSS JOIN (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
        LEFT JOIN LATERAL (
            SELECT head, body, revision, created_ms, absolute_end_ms, expires_ms, fence
            FROM latchkey_records
            WHERE latchkey_records.key = noted.key
        ) AS record ON true
) AS found
WHERE COALESCE(bytes_before, 0) <= $6
ORDER BY bucket, version, key
