-- extend: give a lock its full TTL again if this owner still holds it. Never creates a lock.
-- KEYS[1]  lock
-- KEYS[2]  fence: remembered for as long as after a grant
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  TTL of the lock in ms
-- Returns  1 extended | 0 held under another owner value | -1 no lock
local owner = redis.pcall('GET', KEYS[1])
if type(owner) ~= 'string' then return -1 end
if owner ~= ARGV[1] then return 0 end
-- include fence_ttl
redis.call('PEXPIRE', KEYS[2], fence_ttl_ms)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
