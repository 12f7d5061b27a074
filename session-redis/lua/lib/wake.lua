-- Tells the process that waits longest that the lock is free. Never fails.
local first = redis.pcall('ZPOPMIN', KEYS[3])[1]
if first then redis.pcall('PUBLISH', first, KEYS[2]) end
