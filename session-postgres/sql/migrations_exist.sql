-- migrations_exist: whether anything has ever been migrated here.
SELECT to_regclass('latchkey_migrations') IS NOT NULL
