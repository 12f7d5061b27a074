-- load: read a session that is shared with sanic-cookies, and take its lock if an owner is given.
-- Why a script: JSON, head and lock must be of one moment, or a write in between looks like somebody else's.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue, not used: scripts of one session have the same keys
-- KEYS[4]  head
-- ARGV[1]  owner value (opaque bytes), or empty: only read
-- ARGV[2]  TTL of the lock in ms
-- ARGV[3]  the head of a session that has none
-- ARGV[4]  how long a session that has none lives at most, in ms
-- ARGV[5]  how long heads live at least, in ms
-- Returns  {code, now_ms, left_ms, head, raw, ours}: 1 read, and locked if asked for | 0 held by somebody else
--          | -1 no record | -2 ended | -5 a key of another type | -6 the head is not of this format; then it is all that
--          is given | -7 expired; left_ms is -1 if the record stands for ever, ours is 0 if sanic-cookies wrote it last
-- include now
-- include header
-- include version
-- include bury
local found, fault = version()
if fault == -6 then return {-6, now_ms, 0, redis.call('GET', KEYS[4])} end
if fault == -2 then bury(ARGV[5]) end
if not found then return {fault, now_ms, 0} end
if ARGV[1] ~= '' and not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {0, now_ms, 0} end
local times, rest
if found.head then
  times, rest = string.sub(found.head, 1, 24), string.sub(found.head, 37)
else
  times, rest = struct.pack('>I8I8I8', 0, now_ms, now_ms + ARGV[4]), string.sub(ARGV[3], 37)
end
return {1, now_ms, redis.call('PTTL', KEYS[1]), times .. found.id .. rest, found.raw, found.ours and 1 or 0}
