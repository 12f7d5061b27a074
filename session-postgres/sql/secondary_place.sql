-- secondary_place: in which database and schema the tables are.
SELECT current_database()::text || '/' || COALESCE(current_schema()::text, '')
