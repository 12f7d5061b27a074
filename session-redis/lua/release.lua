-- release: give the lock back if this owner still holds it, and count as a use of the session.
-- Why a script: GET then DEL from the client could delete the next owner's lock.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  owner value (opaque bytes)
-- Returns  {code, now_ms, 0}: 1 released | -1 no lock | -3 not the owner
-- include now
-- include touch
local owner = redis.call('GET', KEYS[2])
if not owner then return {-1, now_ms, 0} end
if owner ~= ARGV[1] then return {-3, now_ms, 0} end
-- include give_way
touch(KEYS[1])
return {1, now_ms, 0}
