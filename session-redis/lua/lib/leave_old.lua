-- What a session leaves under its old ID: the lock is free, and those who wait learn that. Never fails.
local function let_go()
  local lock, waiting = KEYS[2], redis.pcall('ZRANGE', KEYS[3], 0, -1)
  redis.pcall('DEL', KEYS[2], KEYS[3])
  -- include tell
end
