-- outbox_backlog: how much waits for a secondary.
-- $1 secondary
-- Returns how many entries, the smallest version, and how many are set aside.
SELECT count(*) FILTER (WHERE NOT aside), min(version) FILTER (WHERE NOT aside), count(*) FILTER (WHERE aside)
FROM latchkey_outbox
WHERE secondary = $1
