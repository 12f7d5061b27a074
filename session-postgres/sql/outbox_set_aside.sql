-- outbox_set_aside: takes an entry out of the way, unless something newer was noted.
-- $1 secondary  $2 key  $3 version
WITH taken AS (
    DELETE FROM latchkey_outbox
    WHERE secondary = $1 AND key = $2 AND version = $3 AND NOT aside
    RETURNING secondary, key, session, version
)
INSERT INTO latchkey_outbox AS known (secondary, key, aside, session, version)
SELECT secondary, key, true, session, version
FROM taken
ON CONFLICT (key, secondary, aside) DO UPDATE SET session = excluded.session, version = excluded.version
