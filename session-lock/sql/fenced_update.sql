-- Changes a row if the fencing token is accepted. Parameters: the key, the token, the columns.
-- No row is changed where the token is stale, or where there is no such row.
UPDATE {table} SET {changes} WHERE {key} = $1 AND COALESCE({table}.{token}, 0) {smaller} $2
