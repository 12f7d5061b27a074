-- record_commit: puts a new version in the place of the one that its writer has seen.
-- $1 key  $2 token  $3 what identifies the version that was loaded: magic, format version, kind, commit ID
-- $4 head  $5 body  $6 absolute end in ms  $7 idle timeout in ms
-- Returns the revision; no row: it is not the holder's to write, or time is up.
UPDATE latchkey_records AS record
SET head = $4,
    body = $5,
    revision = greatest(record.revision + 1, clock.ms),
    absolute_end_ms = $6,
    idle_ms = $7,
    expires_ms = least(clock.ms + $7, $6)
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE key = $1 AND fence = $2 AND substring(head FROM 1 FOR 12) = $3
    AND expires_ms > clock.ms AND $6 > clock.ms
RETURNING record.revision
