SELECT username, name, password_hash FROM shop_users WHERE username = $1
