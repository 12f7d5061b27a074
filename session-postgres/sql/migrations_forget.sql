-- migrations_forget: a migration has been taken back.
-- $1 version
DELETE FROM latchkey_migrations WHERE version = $1
