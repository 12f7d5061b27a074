-- fenced_set: store a value if its fencing token is accepted.
-- Why a script: between a check and a write of its own, a holder can be paused while the next one writes.
-- KEYS[1]  value
-- KEYS[2]  fence: the largest token that was accepted
-- ARGV[1]  value (opaque bytes)
-- ARGV[2]  token, in decimal digits
-- ARGV[3]  1: the largest token so far is accepted again; 0: only a larger one
-- ARGV[4]  TTL of the fence in ms
-- Returns  1 stored | {0, highest} refused | -1 the value's key holds something else than a string
--          | -2 what stands under the fence's key is no fence
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'string' and kind ~= 'none' then return -1 end
-- include accept_token
local refused, former = accept_token(KEYS[2], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local stored = redis.pcall('SET', KEYS[1], ARGV[1])
if stored.err then
  -- A token that has stored nothing must be accepted when it comes again.
  if former then
    redis.pcall('SET', KEYS[2], former, 'PX', ARGV[4])
  else
    redis.pcall('DEL', KEYS[2])
  end
  return stored
end
return 1
