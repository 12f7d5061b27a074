-- release: free the lock if this owner still holds it, and tell whoever waits for it.
-- Why a script: GET then DEL from the client could delete the next owner's lock.
-- KEYS[1]  lock
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  channel on which to tell it
-- Returns  1 freed | 0 not held
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[2], '')
return 1
