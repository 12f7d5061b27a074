INSERT INTO shop_users (username, name, password_hash) VALUES ($1, $2, $3) ON CONFLICT (username) DO NOTHING
