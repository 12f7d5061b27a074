-- outbox_move: the session that stood under a key goes on under another one, and is noted there.
-- $1 key
DELETE FROM latchkey_outbox WHERE key = $1 AND NOT aside
