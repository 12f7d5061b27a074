-- outbox_note: notes the session that stands under a key for each secondary, in the transaction that has written it.
-- $1 key
INSERT INTO latchkey_outbox AS noted (secondary, key, session, version)
SELECT secondary, record.key, substring(record.head FROM 21 FOR 16), 2 * record.revision
FROM latchkey_records AS record, latchkey_outbox_list AS list, unnest(list.names) AS secondary
WHERE record.key = $1
    AND octet_length(record.head) >= 46 AND substring(record.head FROM 1 FOR 4) = '\x4c4b014c'
ON CONFLICT (key, secondary, aside) DO UPDATE
SET session = excluded.session, version = excluded.version
WHERE noted.version < excluded.version
