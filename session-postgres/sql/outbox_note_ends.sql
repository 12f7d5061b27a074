-- outbox_note_ends: notes the ends of all sessions, in the transaction that is about to end them.
INSERT INTO latchkey_outbox AS noted (secondary, key, session, version)
SELECT secondary, record.key, substring(record.head FROM 21 FOR 16), 2 * greatest(record.revision + 1, clock.ms) + 1
FROM latchkey_records AS record, latchkey_outbox_list AS list, unnest(list.names) AS secondary,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE record.expires_ms > clock.ms
    AND octet_length(record.head) >= 46 AND substring(record.head FROM 1 FOR 4) = '\x4c4b014c'
ORDER BY record.key
FOR UPDATE OF record
ON CONFLICT (key, secondary, aside) DO UPDATE
SET session = excluded.session, version = excluded.version
WHERE noted.version < excluded.version
