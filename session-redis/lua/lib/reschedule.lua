-- The session ends at another time than before: so does its place in its user's list, if it has a user. Never fails.
local tag = string.sub(new, 61, 68)
if tag ~= string.rep('\0', 8) then
  local hex = string.gsub(tag, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  local index = string.match(KEYS[1], '^.-}:') .. 'user:' .. hex
  redis.pcall('ZADD', index, 'XX', absolute_end_ms, string.sub(new, 45, 60) .. string.sub(KEYS[1], -43))
  local left_ms = redis.pcall('PTTL', index)
  if left_ms ~= -2 and left_ms < absolute_end_ms - now_ms then redis.pcall('PEXPIRE', index, absolute_end_ms - now_ms) end
end
