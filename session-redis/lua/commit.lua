-- commit: write a new version of a session over the one its holder loaded, and give the lock back.
-- Why a script: owner, version and write must be one step, or a late holder overwrites a newer version.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  staged record, if the record is large: else absent
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[3]  the new record, under the revision that its writer expects; staged: as far as its head goes
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -1 no record | -2 ended | -3 not the owner
--          | -4 another version | -5 a key of another type | -6 not a record of this format | -7 expired
--          | -8 staged record missing | -11 it has a new ID; extra is the revision if stored, else 1 if an earlier delivery of this attempt
--          may have been stored
-- include now
-- include note

local new = ARGV[3]
local found = redis.pcall('GETRANGE', KEYS[1], 0, 35)
if type(found) == 'string' and string.sub(found, 25) == ARGV[2] and redis.call('GET', KEYS[2]) == ARGV[1] then
  -- include replace
  if revision then
    -- include give_way
    return {1, now_ms, revision}
  end
end

local keeps_lock = false
-- include refused
