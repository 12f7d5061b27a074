-- migrations_version: the newest migration that has been run; zero for none.
SELECT COALESCE(max(version), 0) FROM latchkey_migrations
