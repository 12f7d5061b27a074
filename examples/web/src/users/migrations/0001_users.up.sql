-- The users of the shop, with argon2id hashes in PHC form.
CREATE TABLE shop_users (
    username text PRIMARY KEY CHECK (length(username) BETWEEN 1 AND 64),
    name text NOT NULL,
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%')
);
