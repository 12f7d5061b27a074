-- create: store a session for sanic-cookies and us, where nothing stands.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock, not used: scripts of one session have the same keys
-- KEYS[3]  queue, not used: likewise
-- KEYS[4]  head
-- ARGV[1]  absolute timeout in ms
-- ARGV[2]  the head
-- ARGV[3]  the JSON
-- ARGV[4]  how long heads live at least, in ms
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -4 another record stands or stood there
--          | -5 a key of another type | -6 the head is not of this format | -7 expired; extra is the revision if stored,
--          else 1 if an earlier delivery of this attempt may have been stored
-- include now
-- include header
-- include digest
-- include put
local head, fault = header(KEYS[4])
if not head and fault ~= -1 then return {fault, now_ms, 0} end
if head then
  local attempt = noted(head, string.sub(ARGV[2], 71, 82))
  if attempt == 'written' then return {2, now_ms, (struct.unpack('>I8', head))} end
  return {-4, now_ms, attempt == 'forgotten' and 1 or 0}
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {-4, now_ms, 0} end
local times = struct.pack('>I8I8I8', now_ms, now_ms, now_ms + ARGV[1])
local revision = put(nil, times .. string.sub(ARGV[2], 25), ARGV[3], ARGV[4])
if not revision then return {-7, now_ms, 0} end
return {1, now_ms, revision}
