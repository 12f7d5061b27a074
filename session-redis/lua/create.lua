-- create: store a session for the first time, where nothing stands. The only script that makes a live record.
-- KEYS[1]  record
-- KEYS[2]  staged record, if the record is large: else absent
-- ARGV[1]  absolute timeout in ms
-- ARGV[2]  the record after its absolute end; staged: as far as its head goes
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -4 another record stands there
--          | -5 a key of another type | -6 not a record of this format | -8 staged record missing; extra is the
--          revision if stored, else 1 if an earlier delivery of this attempt may have been stored
-- include now
-- include note

if redis.call('EXISTS', KEYS[1]) == 0 then
  local absolute_ms = tonumber(ARGV[1])
  local ttl_ms = math.min(struct.unpack('>I8', ARGV[2], 13), absolute_ms)
  local times = struct.pack('>I8I8I8', now_ms, now_ms, now_ms + absolute_ms)
  if KEYS[2] then
    if redis.call('EXISTS', KEYS[2]) == 0 then return {-8, now_ms, 1} end
    redis.call('SETRANGE', KEYS[2], 0, times)
    redis.call('PEXPIRE', KEYS[2], ttl_ms)
    redis.call('RENAME', KEYS[2], KEYS[1])
  else
    redis.call('SET', KEYS[1], times .. ARGV[2], 'PX', ttl_ms)
  end
  local failed = note and note(KEYS[1], times .. ARGV[2], 2 * now_ms)
  if failed then
    redis.pcall('DEL', KEYS[1])
    return failed
  end
  return {1, now_ms, now_ms}
end

-- include header
-- include digest
if KEYS[2] then redis.pcall('UNLINK', KEYS[2]) end
local head, fault = header(KEYS[1])
if not head then return {fault, now_ms, 0} end
local attempt = noted(head, string.sub(ARGV[2], 47, 58))
if attempt == 'written' then return {2, now_ms, (struct.unpack('>I8', head))} end
return {-4, now_ms, attempt == 'forgotten' and 1 or 0}
