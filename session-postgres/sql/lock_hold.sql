-- lock_hold: whoever changes this lock or its queue waits until the end of the transaction.
-- $1 key
SELECT FROM latchkey_locks WHERE key = $1 FOR UPDATE
