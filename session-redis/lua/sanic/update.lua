-- update: write a new version of a shared session without a lock, if nobody holds or awaits it.
-- Why a script: that nobody holds the lock must be true in the very step of the write.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  head
-- ARGV[1]  what identifies the version that was loaded (12 bytes)
-- ARGV[2]  the new head
-- ARGV[3]  the new JSON
-- ARGV[4]  how long heads live at least, in ms
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -1 no record | -2 ended | -4 another version
--          | -5 a key of another type | -6 the head is not of this format | -7 expired | -10 locked; extra is the
--          revision if stored, else 1 if an earlier delivery of this attempt may have been stored
-- include now
-- include header
-- include digest
-- include version
-- include put
local found, fault, head = version()
head = head or found and found.head
local attempt = head and noted(head, string.sub(ARGV[2], 71, 82))
if attempt == 'written' then return {2, now_ms, (struct.unpack('>I8', head))} end
local forgotten = attempt == 'forgotten' and 1 or 0
if not found then return {fault, now_ms, head and forgotten or 1} end
-- Not final while the lock is held: a late copy of this attempt may still find the lock free and its version standing.
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return {-10, now_ms, 1} end
if found.id ~= ARGV[1] then return {-4, now_ms, forgotten} end
local revision = put(head, ARGV[2], ARGV[3], ARGV[4])
if not revision then return {-7, now_ms, 0} end
return {1, now_ms, revision}
