-- apply: take a version of a session over, or its end, if it is newer than what is known.
-- Why a script: of two deliverers the one with the older version must not be the last.
-- KEYS[1]  row: version, absolute end, idle end, creation (8 bytes each), flags, then the rest
-- ARGV[1]  the new row; of an end, its version alone
-- ARGV[2]  TTL in ms of an end, and of a row after its absolute end
-- Returns  {code, now_ms, 0}: 1 taken over | 0 it, or a newer one, was known | -5 a key of another type
-- include now
local known = redis.pcall('GETRANGE', KEYS[1], 0, 7)
if type(known) ~= 'string' then return {-5, now_ms, 0} end
if #known == 8 and struct.unpack('>I8', known) >= struct.unpack('>I8', ARGV[1]) then return {0, now_ms, 0} end
local ttl_ms = tonumber(ARGV[2])
if #ARGV[1] > 8 then ttl_ms = ttl_ms + math.max(0, struct.unpack('>I8', ARGV[1], 9) - now_ms) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl_ms)
return {1, now_ms, 0}
