-- renew: give a lock its full TTL again if this owner still holds it, and keep its session alive.
-- Never creates a lock.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue, not used: scripts of one session have the same keys
-- KEYS[4]  head
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  TTL of the lock in ms
-- ARGV[3]  how long heads live at least, in ms
-- Returns  {code, now_ms, 0}: 1 renewed | -1 no lock | -3 not the owner
-- include now
-- include header
-- include version
-- include use
local owner = redis.call('GET', KEYS[2])
if not owner then return {-1, now_ms, 0} end
if owner ~= ARGV[1] then return {-3, now_ms, 0} end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
pcall(use, ARGV[3])
return {1, now_ms, 0}
