-- Counts as a use of a session whose last version is ours: moves its idle end, upwards only, never past the absolute end.
-- Never fails. What sanic-cookies wrote lives as long as sanic-cookies says.
local function use(longest_ms)
  local found = version()
  if not found or not found.ours then return 0 end
  local absolute_end_ms, idle_ms = struct.unpack('>I8', found.head, 17), struct.unpack('>I8', found.head, 37)
  local ttl_ms = math.min(idle_ms, absolute_end_ms - now_ms)
  local left_ms = redis.pcall('PTTL', KEYS[1])
  if type(left_ms) == 'number' and ttl_ms > left_ms then
    redis.pcall('PEXPIRE', KEYS[4], math.max(ttl_ms, longest_ms))
    redis.pcall('PEXPIRE', KEYS[1], ttl_ms)
  end
  return 1
end
