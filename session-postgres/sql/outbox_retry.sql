-- outbox_retry: puts back what was set aside.
-- $1 secondary
-- Returns how many entries.
WITH taken AS (
    DELETE FROM latchkey_outbox WHERE secondary = $1 AND aside RETURNING secondary, key, session, version
), put_back AS (
    INSERT INTO latchkey_outbox AS noted (secondary, key, session, version)
    SELECT secondary, key, session, version
    FROM taken
    ORDER BY key
    ON CONFLICT (key, secondary, aside) DO UPDATE
    SET session = excluded.session, version = excluded.version
    WHERE noted.version < excluded.version
)
SELECT count(*) FROM taken
