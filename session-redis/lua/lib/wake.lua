-- Tells the process that waits longest that the lock is free. Never fails.
local function wake(queue, lock)
  local first = redis.pcall('ZPOPMIN', queue)
  if first[1] then redis.pcall('PUBLISH', first[1], lock) end
end
