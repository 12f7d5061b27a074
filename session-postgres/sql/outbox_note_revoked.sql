-- outbox_note_revoked: notes the ends of the sessions that `user_revoke` is about to end, in the same transaction.
-- $1 user  $2 the handle that is meant or spared, or null: all are meant  $3 whether it is meant
-- Why in order: two that note several sessions must not wait for each other.
INSERT INTO latchkey_outbox AS noted (secondary, key, session, version)
SELECT secondary, record.key, substring(record.head FROM 21 FOR 16), 2 * greatest(record.revision + 1, clock.ms) + 1
FROM latchkey_records AS record, latchkey_outbox_list AS list, unnest(list.names) AS secondary,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
WHERE record.user_key = $1 AND record.expires_ms > clock.ms
    AND octet_length(record.head) >= 46 AND substring(record.head FROM 1 FOR 4) = '\x4c4b014c'
    AND ($2::bytea IS NULL OR (substring(record.head FROM 21 FOR 16) = $2) = $3)
ORDER BY record.key
FOR UPDATE OF record
ON CONFLICT (key, secondary, aside) DO UPDATE
SET session = excluded.session, version = excluded.version
WHERE noted.version < excluded.version
