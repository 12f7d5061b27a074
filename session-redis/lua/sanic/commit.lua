-- commit: write a new version of a shared session over the one its holder loaded, and give the lock back.
-- Why a script: owner, version and write must be one step, or a late holder overwrites a newer version.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  head
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  what identifies the version that was loaded (12 bytes)
-- ARGV[3]  the new head
-- ARGV[4]  the new JSON
-- ARGV[5]  how long heads live at least, in ms
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -1 no record | -2 ended | -3 not the owner
--          | -4 another version | -5 a key of another type | -6 the head is not of this format | -7 expired; extra is the
--          revision if stored, else 1 if an earlier delivery of this attempt may have been stored
-- include now
-- include header
-- include digest
-- include version
-- include put
local function refuse(code, extra)
  -- A negative answer is final: whoever gets it has no lock any more under which a late copy could be stored.
  if redis.pcall('GET', KEYS[2]) == ARGV[1] then
    -- include give_way
  end
  return {code, now_ms, extra}
end

local found, fault, head = version()
head = head or found and found.head
local attempt = head and noted(head, string.sub(ARGV[3], 71, 82))
if attempt == 'written' then return refuse(2, (struct.unpack('>I8', head))) end
local forgotten = attempt == 'forgotten' and 1 or 0
if not found then return refuse(fault, head and forgotten or 1) end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return refuse(-3, forgotten) end
if found.id ~= ARGV[2] then return refuse(-4, forgotten) end
local revision = put(head, ARGV[3], ARGV[4], ARGV[5])
if not revision then return refuse(-7, 0) end
-- include give_way
return {1, now_ms, revision}
