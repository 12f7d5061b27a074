-- outbox_register: makes these the secondaries of all processes, if there are none.
-- $1 their names
-- Returns the names that count.
INSERT INTO latchkey_outbox_list AS list (names)
VALUES ($1)
ON CONFLICT (only_one) DO UPDATE
SET names = CASE WHEN cardinality(list.names) = 0 THEN excluded.names ELSE list.names END
RETURNING names
