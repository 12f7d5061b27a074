-- migrations_note: a migration has been run.
-- $1 version  $2 name
INSERT INTO latchkey_migrations (version, name) VALUES ($1, $2)
