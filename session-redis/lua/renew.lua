-- renew: give a lock its full TTL again if this owner still holds it, and keep its session alive.
-- Never creates a lock.
-- KEYS[1]  record
-- KEYS[2]  lock
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  TTL of the lock in ms
-- Returns  {code, now_ms, 0}: 1 renewed | -1 no lock | -3 not the owner
-- include now
-- include touch
local owner = redis.call('GET', KEYS[2])
if not owner then return {-1, now_ms, 0} end
if owner ~= ARGV[1] then return {-3, now_ms, 0} end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
touch(KEYS[1])
return {1, now_ms, 0}
