-- commit: write a new version of a session over the one its holder loaded, and give the lock back.
-- Why a script: owner, version and write must be one step, or a late holder overwrites a newer version.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  staged record, if the record is large: else absent
-- ARGV[1]  attempt (process 8 bytes, number 4)
-- ARGV[2]  owner value (opaque bytes)
-- ARGV[3]  commit ID of the version that was loaded (8 bytes)
-- ARGV[4]  idle timeout of the new version in ms
-- ARGV[5]  absolute end of the new version, ms since 1970
-- ARGV[6]  new record up to its revision; staged: its whole length
-- ARGV[7]  new record after its revision; staged: absent
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -1 no record | -2 ended | -3 not the owner
--          | -4 another version | -5 a key of another type | -6 not a record of this format | -7 expired
--          | -8 staged record missing; extra is the
--          revision if stored, else 1 if an earlier delivery of this attempt may have been stored
local now_ms = now()

local function refuse(code, extra)
  -- A negative answer is final: whoever gets it has no lock any more under which a late copy could be stored.
  if redis.pcall('GET', KEYS[2]) == ARGV[2] then
    redis.pcall('DEL', KEYS[2])
    wake(KEYS[3], KEYS[2])
  end
  if KEYS[4] then redis.pcall('UNLINK', KEYS[4]) end
  return {code, now_ms, extra or 0}
end

local head, fault = header(KEYS[1])
if not head then return refuse(fault, fault == -1 and 1 or 0) end
local attempt = noted(head, ARGV[1])
if attempt == 'written' then return refuse(2, (struct.unpack('>I8', head, 13))) end
local forgotten = attempt == 'forgotten' and 1 or 0
if string.sub(head, 4, 4) ~= 'L' then return refuse(-2, forgotten) end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return refuse(-3, forgotten) end
if string.sub(head, 5, 12) ~= ARGV[3] then return refuse(-4, forgotten) end
local ttl_ms = math.min(tonumber(ARGV[4]), tonumber(ARGV[5]) - now_ms)
if ttl_ms <= 0 then
  redis.call('DEL', KEYS[1])
  return refuse(-7, 0)
end

local revision = math.max(struct.unpack('>I8', head, 13) + 1, now_ms)
local packed = struct.pack('>I8', revision)
local ttl = string.format('%.0f', ttl_ms)
if KEYS[4] then
  if redis.call('STRLEN', KEYS[4]) ~= tonumber(ARGV[6]) then return refuse(-8, forgotten) end
  redis.call('SETRANGE', KEYS[4], 12, packed)
  redis.call('PEXPIRE', KEYS[4], ttl)
  redis.call('RENAME', KEYS[4], KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[6] .. packed .. ARGV[7], 'PX', ttl)
end

redis.pcall('DEL', KEYS[2])
wake(KEYS[3], KEYS[2])
return {1, now_ms, revision}
