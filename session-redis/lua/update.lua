-- update: write a new version of a session without a lock, if nobody holds or awaits it.
-- Why a script: that nobody holds the lock must be true in the very step of the write.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  staged record, if the record is large: else absent
-- ARGV[1]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[2]  the new record, under the revision that its writer expects; staged: as far as its head goes
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -1 no record | -2 ended | -4 another version
--          | -5 a key of another type | -6 not a record of this format | -7 expired | -8 staged record missing
--          | -10 locked | -11 it has a new ID; extra is the revision if stored, else 1 if an earlier delivery of this attempt may have been
--          stored
-- include now
-- include note

local new = ARGV[2]
local found = redis.pcall('GETRANGE', KEYS[1], 0, 35)
if type(found) == 'string' and string.sub(found, 25) == ARGV[1] and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then
  -- include replace
  if revision then return {1, now_ms, revision} end
end

-- Refused. First of all: was this very attempt stored before?
-- include header
-- include digest
-- include kinds
local function refuse(code, extra)
  if KEYS[4] then redis.pcall('UNLINK', KEYS[4]) end
  return {code, now_ms, extra}
end

local head, fault = header(KEYS[1])
if not head then
  if fault == -1 and type(found) == 'string' and found ~= '' then return refuse(-7, 0) end
  return refuse(fault, fault == -1 and 1 or 0)
end
local attempt = noted(head, string.sub(new, 71, 82))
if attempt == 'written' then return refuse(2, (struct.unpack('>I8', head))) end
local forgotten = attempt == 'forgotten' and 1 or 0
local dead = not_live(head)
if dead then return refuse(dead, forgotten) end
-- Not final while the lock is held: a late copy of this attempt may still find the lock free and its version standing.
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return refuse(-10, 1) end
if string.sub(head, 25, 36) ~= ARGV[1] then return refuse(-4, forgotten) end
return refuse(-8, forgotten)
