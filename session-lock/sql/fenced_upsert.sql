-- Makes a row, or changes the one that is there if the fencing token is accepted. Parameters: the key, the token, the columns.
-- No row is changed where the token is stale.
INSERT INTO {table} ({columns}) VALUES ({parameters}) ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE COALESCE({table}.{token}, 0) {smaller} $2
