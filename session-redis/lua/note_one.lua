-- note_one: note a session for a secondary, if it lives.
-- KEYS[1]  record
-- KEYS[2]  outbox
-- Returns  {code, now_ms, 0}: 1 noted | 0 it does not live
-- include now
local head = redis.pcall('GETRANGE', KEYS[1], 0, 69)
if type(head) ~= 'string' or #head < 70 or string.sub(head, 25, 28) ~= 'LK\1L' then return {0, now_ms, 0} end
local entry = string.sub(head, 45, 60) .. string.sub(KEYS[1], -43)
redis.call('ZADD', KEYS[2], 'GT', 2 * struct.unpack('>I8', head), entry)
return {1, now_ms, 0}
