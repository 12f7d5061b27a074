-- outbox_delivered: takes out what was delivered, unless something newer was noted.
-- $1 secondary  $2 keys  $3 versions
-- Why those in use are left out: something newer is being noted for them; and so nobody waits in a circle.
DELETE FROM latchkey_outbox
WHERE secondary = $1 AND NOT aside AND key IN (
    SELECT noted.key
    FROM unnest($2::bytea[], $3::bigint[]) AS told (key, version)
        JOIN latchkey_outbox AS noted ON noted.key = told.key AND noted.version = told.version
    WHERE noted.secondary = $1 AND NOT noted.aside
    FOR UPDATE OF noted SKIP LOCKED
)
