-- What a session leaves under its old ID: the lock is free, and those who wait learn that. Never fails.
local function let_go()
  local waiting = redis.pcall('ZRANGE', KEYS[3], 0, -1)
  redis.pcall('DEL', KEYS[2], KEYS[3])
  for _, process in ipairs(waiting) do
    redis.pcall('PUBLISH', process, KEYS[2])
  end
end
