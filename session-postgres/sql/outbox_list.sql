-- outbox_list: the secondaries of all processes; no row: none.
SELECT names FROM latchkey_outbox_list
