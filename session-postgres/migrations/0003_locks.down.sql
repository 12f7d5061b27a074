DROP TABLE latchkey_waiters;
DROP TABLE latchkey_locks;
