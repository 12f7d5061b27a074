-- rotate: let a session go on under another ID, and leave an alias under the old one.
-- Why a script: there must never be two of it, nor none.
-- KEYS[1]  record under the old ID
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  record under the new ID
-- KEYS[n]  from 5 on: the aliases that earlier changes of the ID have left
-- KEYS[#ARGV]  staged record, if the record is large: else absent
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[3]  TTL of the alias in ms
-- ARGV[4]  the alias: what stands under the old ID from now on; or empty: nothing
-- ARGV[n]  for each earlier alias: the same, pointing to the new ID; or empty: it ends
-- ARGV[#ARGV]  the new record, under the revision that its writer expects; staged: as far as its head goes
-- Returns  {code, now_ms, extra}: 1 done | 2 done before | -1 no record | -2 ended | -3 not the owner
--          | -4 another version | -5 a key of another type | -6 not a record of this format | -7 expired
--          | -8 staged record missing | -11 it has a new ID; extra is the revision if done, else 1 if an earlier
--          delivery of this attempt may have been stored
-- include now
-- include note
-- include header
-- include users
-- include kinds
-- include finish
-- include holder
-- include leave_old
local stage, new = KEYS[#ARGV], ARGV[#ARGV]
local function refuse(code, extra)
  if redis.pcall('GET', KEYS[2]) == ARGV[1] then let_go() end
  if stage then redis.pcall('UNLINK', stage) end
  return {code, now_ms, extra}
end

-- Nobody else knows the new ID: if anything stands there, it is from this very attempt.
local made = header(KEYS[4])
if made then return refuse(2, (struct.unpack('>I8', made))) end
local head, refused = held()
if not head then return refuse(refused, (refused == -11 or refused == -1) and 1 or 0) end

local absolute_end_ms, idle_ms = struct.unpack('>I8', new, 17), struct.unpack('>I8', new, 37)
local ttl_ms = math.min(idle_ms, absolute_end_ms - now_ms)
if ttl_ms <= 0 then
  redis.call('DEL', KEYS[1])
  return refuse(-7, 0)
end
local revision = math.max(struct.unpack('>I8', head) + 1, now_ms)
local put
if stage then
  if redis.call('EXISTS', stage) == 0 then return refuse(-8, 0) end
  redis.call('SETRANGE', stage, 0, struct.pack('>I8', revision))
  redis.call('PEXPIRE', stage, ttl_ms)
  put = redis.pcall('RENAME', stage, KEYS[4])
else
  put = redis.pcall('SET', KEYS[4], struct.pack('>I8', revision) .. string.sub(new, 9), 'PX', ttl_ms)
end
if put.err then return put end

local tag, index, failed = string.sub(head, 61, 68), nil, nil
if tag ~= NOBODY then
  index = user_key(KEYS[1], 'user:', tag)
  failed = enlist(index, member(KEYS[4], head), absolute_end_ms)
end
failed = failed or note and note(KEYS[4], new, 2 * revision)
if failed then
  redis.pcall('DEL', KEYS[4])
  if index then redis.pcall('ZREM', index, member(KEYS[4], head)) end
  return failed
end
if index then redis.pcall('ZREM', index, member(KEYS[1], head)) end
if note then has_moved(KEYS[1], head) end
-- What cannot be an alias, for want of room, names nothing: an alias never leads to an alias.
local function point(key, alias, alias_ms)
  local pointed = alias ~= '' and type(alias_ms) == 'number' and alias_ms > 0
    and redis.pcall('SET', key, alias, 'PX', math.min(alias_ms, ttl_ms))
  if not pointed or pointed.err then redis.pcall('DEL', key) end
end
point(KEYS[1], ARGV[4], tonumber(ARGV[3]))
for n = 5, #ARGV - 1 do
  -- An earlier one keeps its own end.
  local stands = redis.pcall('GETRANGE', KEYS[n], 24, 27) == 'LK\1A'
  point(KEYS[n], ARGV[n], stands and redis.pcall('PTTL', KEYS[n]))
end
let_go()
return {1, now_ms, revision}
