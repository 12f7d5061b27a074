-- outbox_note_end: notes the end of a session that lives, in the transaction that is about to end it.
-- $1 key
-- Why before: what is left of a session cannot be told from what is left of a copy. An end that does not come is none.
INSERT INTO latchkey_outbox AS noted (secondary, key, session, version)
SELECT secondary, record.key, substring(record.head FROM 21 FOR 16), 2 * greatest(record.revision + 1, clock.ms) + 1
FROM latchkey_records AS record, latchkey_outbox_list AS list, unnest(list.names) AS secondary,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE record.key = $1 AND record.expires_ms > clock.ms
    AND octet_length(record.head) >= 46 AND substring(record.head FROM 1 FOR 4) = '\x4c4b014c'
FOR UPDATE OF record
ON CONFLICT (key, secondary, aside) DO UPDATE
SET session = excluded.session, version = excluded.version
WHERE noted.version < excluded.version
