-- destroy: end a session for everybody, whoever holds its lock; or only under the lock, if an owner is given.
-- Begins with a freeing write, so it works on a server that is full.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  owner value (opaque bytes), or empty: whoever holds the lock
-- ARGV[2]  TTL of the tombstone in ms
-- Returns  {code, now_ms, 0}: 1 ended | -1 no record | -2 ended before | -3 not the owner
--          | -5 a key of another type | -6 not a record of this format
-- include now
-- include header
local head, fault = header(KEYS[1])
if not head then return {fault, now_ms, 0} end
if string.sub(head, 28, 28) == 'T' then return {-2, now_ms, 0} end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return {-3, now_ms, 0} end
local waiting = redis.call('ZRANGE', KEYS[3], 0, -1)

redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])

-- The tombstone is for late writers to learn what happened; that nothing can write where no record stands is what
-- makes the end final.
local tombstone = string.sub(head, 1, 27) .. 'T' .. string.sub(head, 29, 70 + 12 * string.byte(head, 70))
redis.pcall('SET', KEYS[1], tombstone, 'PX', ARGV[2])
for _, process in ipairs(waiting) do
  redis.pcall('PUBLISH', process, KEYS[2])
end
return {1, now_ms, 0}
