-- Deletes what a late request of sanic-cookies has written where a session was ended, and keeps its tombstone for longer
-- than another such request could. Never fails.
local function bury(longest_ms)
  if redis.pcall('DEL', KEYS[1]) == 1 then
    local left_ms = redis.pcall('PTTL', KEYS[4])
    if type(left_ms) == 'number' and left_ms < tonumber(longest_ms) then redis.pcall('PEXPIRE', KEYS[4], longest_ms) end
  end
end
