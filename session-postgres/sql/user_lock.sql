-- user_lock: what is known of a user, locked until the end of the transaction.
-- $1 user
INSERT INTO latchkey_users AS known (user_key, changed_ms)
VALUES ($1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ON CONFLICT (user_key) DO UPDATE SET changed_ms = greatest(known.changed_ms, excluded.changed_ms)
RETURNING epoch, disabled, credential
