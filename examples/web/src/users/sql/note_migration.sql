INSERT INTO shop_migrations (number) VALUES ($1)
