DROP TABLE latchkey_outbox_parts;
DROP TABLE latchkey_outbox_list;
DROP TABLE latchkey_outbox;
