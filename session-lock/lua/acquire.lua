-- acquire: take the lock if it is free or held under this owner value already, and give out the next fence.
-- Why a script: marker, lock and fence are one decision.
-- KEYS[1]  marker: the floor of the node's admission; without it the node has lost its data, or is new
-- KEYS[2]  lock
-- KEYS[3]  fence
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  TTL of the lock in ms
-- ARGV[3]  the fence has to be larger than this; absent: than 0
-- ARGV[4]  given: a resource without a fence does not start from the server's clock
-- Returns  fence: granted | {0, left_ms} held under another owner value, left_ms is -1 without a TTL
--          | {-1, 0} not admitted | {-2, 0} a key of another type | {-3, 0} no fence is left below 2^53
local marker = redis.call('GET', KEYS[1])
if not marker then return {-1, 0} end
local taken = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
if not taken then
  local owner = redis.pcall('GET', KEYS[2])
  if type(owner) ~= 'string' then return {-2, 0} end
  if owner ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[2])} end
end

-- include next_fence
local floor = math.max(tonumber(marker), tonumber(ARGV[3] or 0))
local fence, failure = next_fence(KEYS[3], floor, not ARGV[4])
if not fence then
  if taken then redis.pcall('DEL', KEYS[2]) end
  return failure
end
if not taken then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return fence
