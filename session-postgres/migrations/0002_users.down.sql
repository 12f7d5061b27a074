DROP TABLE latchkey_floor;
DROP INDEX latchkey_records_user;
DROP TABLE latchkey_users;
