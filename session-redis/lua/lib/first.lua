-- Puts a first version under a key, or what is staged for it: `rest` is the record after its absolute end. Returns the
-- head that it stored, or what failed: a table with `code` or with `err`.
local function first(key, stage, rest, absolute_ms, revision)
  local ttl_ms = math.min(struct.unpack('>I8', rest, 13), absolute_ms)
  local times = struct.pack('>I8I8I8', revision, now_ms, now_ms + absolute_ms)
  local put
  if not stage then
    put = redis.pcall('SET', key, times .. rest, 'PX', ttl_ms)
  else
    if redis.call('EXISTS', stage) == 0 then return {code = -8} end
    redis.call('SETRANGE', stage, 0, times)
    redis.call('PEXPIRE', stage, ttl_ms)
    put = redis.pcall('RENAME', stage, key)
  end
  if type(put) == 'table' and put.err then return put end
  return times .. rest
end
