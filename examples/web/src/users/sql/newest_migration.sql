SELECT coalesce(max(number), 0) AS newest FROM shop_migrations
