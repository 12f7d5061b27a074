-- raise_fence: move the fence up to a token while the lock is held.
-- Why a script: raised by a holder who has lost the lock, the fence would outrun the next holder's token.
-- Why not above: a late copy of its request gives an owner the lock again, after others were granted the numbers up to there.
-- KEYS[1]  lock
-- KEYS[2]  fence
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  token
-- Returns  1 held, and the fence is at the token | 0 not held, or the fence is above the token
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local fence = redis.call('GET', KEYS[2])
if fence and tonumber(fence) > tonumber(ARGV[2]) then return 0 end
-- include fence_ttl
redis.call('SET', KEYS[2], ARGV[2], 'PX', fence_ttl_ms)
return 1
