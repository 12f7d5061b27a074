-- user_credential: what the user has logged in with.
-- $1 user  $2 a hash of that
UPDATE latchkey_users SET credential = $2 WHERE user_key = $1
