-- Writes a version: the JSON, then its head with the SHA-1 of the JSON. The revision it was given; nil if its time is up.
-- The JSON is the write: without its head, it counts as one that somebody else wrote.
local function put(standing, head, raw, longest_ms)
  local absolute_end_ms, idle_ms = struct.unpack('>I8', head, 17), struct.unpack('>I8', head, 37)
  local ttl_ms = math.min(idle_ms, absolute_end_ms - now_ms)
  if ttl_ms <= 0 then
    redis.call('DEL', KEYS[1])
    return nil
  end
  local revision = now_ms
  if standing then revision = math.max(struct.unpack('>I8', standing) + 1, now_ms) end
  redis.call('SET', KEYS[1], raw, 'PX', ttl_ms)
  local record = struct.pack('>I8', revision) .. string.sub(head, 9) .. redis.sha1hex(raw)
  redis.pcall('SET', KEYS[4], record, 'PX', math.max(ttl_ms, longest_ms))
  return revision
end
