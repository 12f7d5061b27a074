-- retry: put what was set aside back into the outbox.
-- KEYS[1]  what was set aside
-- KEYS[2]  outbox
-- Returns  {code, now_ms, count}: 1 done; count is the number of entries
-- include now
local entries = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for at = 1, #entries, 2 do redis.call('ZADD', KEYS[2], 'GT', entries[at + 1], entries[at]) end
redis.call('DEL', KEYS[1])
return {1, now_ms, #entries / 2}
