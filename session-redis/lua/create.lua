-- create: store a session for the first time, where nothing stands. The only script that makes a live record.
-- KEYS[1]  record
-- KEYS[2]  staged record, if the record is large: else absent
-- ARGV[1]  attempt (process 8 bytes, number 4)
-- ARGV[2]  idle timeout in ms
-- ARGV[3]  absolute timeout in ms
-- ARGV[4]  record up to its revision; staged: its whole length
-- ARGV[5]  record after its absolute end; staged: absent
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -4 another record stands there
--          | -5 a key of another type | -6 not a record of this format | -8 staged record missing; extra is the
--          revision if stored, else 1 if an earlier delivery of this attempt may have been stored
local now_ms = now()

local function refuse(code, extra)
  if KEYS[2] then redis.pcall('UNLINK', KEYS[2]) end
  return {code, now_ms, extra or 0}
end

local head, fault = header(KEYS[1])
if head then
  local attempt = noted(head, ARGV[1])
  if attempt == 'written' then return refuse(2, (struct.unpack('>I8', head, 13))) end
  return refuse(-4, attempt == 'forgotten' and 1 or 0)
end
if fault ~= -1 then return refuse(fault) end

local times = struct.pack('>I8I8I8', now_ms, now_ms, now_ms + tonumber(ARGV[3]))
local ttl = string.format('%.0f', math.min(tonumber(ARGV[2]), tonumber(ARGV[3])))
if KEYS[2] then
  if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[4]) then return refuse(-8) end
  redis.call('SETRANGE', KEYS[2], 12, times)
  redis.call('PEXPIRE', KEYS[2], ttl)
  redis.call('RENAME', KEYS[2], KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[4] .. times .. ARGV[5], 'PX', ttl)
end
return {1, now_ms, now_ms}
