-- leave: a process does not wait for a lock any more. If it has it meanwhile, or nobody has, the next one gets it.
-- KEYS[1]  record, not used: scripts of one session have the same keys
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  the process, as it stands in the queue
-- Returns  {code, now_ms, 0}: 1 done
-- include now
redis.call('ZREM', KEYS[3], ARGV[1])
local owner = redis.pcall('GET', KEYS[2])
if not owner or owner == string.sub(ARGV[1], 1, 16) then
  -- include give_way
end
return {1, now_ms, 0}
