DROP TABLE latchkey_secondary;
