DROP TABLE latchkey_records;
