-- Moves the idle end of a live record: upwards only, never past its absolute end. Never fails.
local function touch(key)
  local head = redis.pcall('GETRANGE', key, 0, 43)
  if type(head) ~= 'string' or #head < 44 or string.sub(head, 25, 28) ~= 'LK\1L' then return 0 end
  local absolute_end_ms, idle_ms = struct.unpack('>I8', head, 17), struct.unpack('>I8', head, 37)
  local ttl_ms = math.min(idle_ms, absolute_end_ms - now_ms)
  local left_ms = redis.pcall('PTTL', key)
  if type(left_ms) == 'number' and ttl_ms > left_ms then redis.pcall('PEXPIRE', key, ttl_ms) end
  return 1
end
