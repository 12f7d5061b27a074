-- destroy: end a shared session for everybody, whoever holds its lock; or only under the lock, if an owner is given.
-- Begins with a freeing write, so it works on a server that is full.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  head
-- ARGV[1]  owner value (opaque bytes), or empty: whoever holds the lock
-- ARGV[2]  the head of a session that has none
-- ARGV[3]  TTL of the tombstone in ms, at least
-- Returns  {code, now_ms, 0}: 1 ended | -1 no record | -2 ended before | -3 not the owner
--          | -5 a key of another type | -6 the head is not of this format | -7 expired
-- include now
-- include header
-- include version
-- include bury
local found, fault = version()
if fault == -2 then bury(ARGV[3]) end
if not found then return {fault, now_ms, 0} end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return {-3, now_ms, 0} end
local lock, waiting = KEYS[2], redis.call('ZRANGE', KEYS[3], 0, -1)
-- A request of sanic-cookies that is under way may write the session back, and that lives as long as it says.
local ttl_ms = tonumber(ARGV[3])
local ok, map = pcall(cjson.decode, found.raw)
local seconds = ok and type(map) == 'table' and tonumber(map._override_expiry)
if seconds and seconds < 316224000 then ttl_ms = math.max(ttl_ms, 1000 * math.ceil(seconds) + 300000) end

redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])

local head = found.head or ARGV[2]
redis.pcall('SET', KEYS[4], string.sub(head, 1, 27) .. 'T' .. string.sub(head, 29), 'PX', ttl_ms)
-- include tell
return {1, now_ms, 0}
