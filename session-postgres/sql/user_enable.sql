-- user_enable: logins of the user are accepted again.
-- $1 user
UPDATE latchkey_users SET disabled = false WHERE user_key = $1
