-- outbox_note_all: notes sessions that live for one secondary, some at once.
-- $1 secondary  $2 behind this key  $3 how many at most
-- Returns how many, and the last key.
WITH living AS (
    SELECT record.key, substring(record.head FROM 21 FOR 16) AS session, 2 * record.revision AS version
    FROM latchkey_records AS record,
        (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
    WHERE record.key > $2 AND record.expires_ms > clock.ms
        AND octet_length(record.head) >= 46 AND substring(record.head FROM 1 FOR 4) = '\x4c4b014c'
    ORDER BY record.key
    LIMIT $3
), noted AS (
    INSERT INTO latchkey_outbox AS noted (secondary, key, session, version)
    SELECT $1, key, session, version
    FROM living
    ORDER BY key
    ON CONFLICT (key, secondary, aside) DO UPDATE
    SET session = excluded.session, version = excluded.version
    WHERE noted.version < excluded.version
)
SELECT count(*), (SELECT key FROM living ORDER BY key DESC LIMIT 1) FROM living
