-- claim: let one process at a time deliver what a part of the outbox holds.
-- KEYS[1]  who has the part
-- ARGV[1]  the process
-- ARGV[2]  for how long in ms
-- Returns  {code, now_ms, 0}: 1 it has it | 0 another one has it
-- include now
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return {0, now_ms, 0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, now_ms, 0}
