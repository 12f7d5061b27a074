-- outbox_replace: makes these the secondaries of all processes, whatever they were, and forgets what waits for others.
-- $1 their names
WITH left_out AS (
    DELETE FROM latchkey_outbox WHERE secondary <> ALL ($1::text[])
)
INSERT INTO latchkey_outbox_list (names)
VALUES ($1)
ON CONFLICT (only_one) DO UPDATE SET names = excluded.names
