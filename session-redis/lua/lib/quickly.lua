-- Puts the record `new`, or what is staged for it, in the place of the version whose head is `found`, if there is
-- nothing to be decided and its absolute end stays. Sets `revision` if it did. Never fails.
local revision
local standing, expected = struct.unpack('>I8', found), struct.unpack('>I8', new)
local ttl_ms = math.min(struct.unpack('>I8', new, 37), struct.unpack('>I8', new, 17) - now_ms)
if ttl_ms > 0 and expected > standing and struct.unpack('>I8', found, 17) == struct.unpack('>I8', new, 17)
  and not (note and note(key, new, 2 * expected)) then
  local put
  if not stage then
    put = redis.pcall('SET', key, new, 'PX', ttl_ms)
  elseif redis.pcall('PEXPIRE', stage, ttl_ms) == 1 then
    put = redis.pcall('RENAME', stage, key)
  end
  if put and put.ok then revision = expected end
end
