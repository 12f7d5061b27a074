-- Puts the record `new` in the place of the version whose head is `found`. Sets `revision` if it did; if not, the
-- session has run out and is gone, or the staged record is missing.
local revision
local absolute_end_ms, idle_ms = struct.unpack('>I8', new, 17), struct.unpack('>I8', new, 37)
local ttl_ms = math.min(idle_ms, absolute_end_ms - now_ms)
if ttl_ms <= 0 then
  redis.call('DEL', KEYS[1])
elseif not KEYS[4] or redis.call('PEXPIRE', KEYS[4], ttl_ms) == 1 then
  local standing = struct.unpack('>I8', found)
  revision = struct.unpack('>I8', new)
  local record = new
  if revision <= standing then
    -- Somebody wrote in between, or the writer's idea of the server's time is behind.
    revision = math.max(standing + 1, now_ms)
    record = struct.pack('>I8', revision) .. string.sub(new, 9)
    if KEYS[4] then redis.call('SETRANGE', KEYS[4], 0, string.sub(record, 1, 8)) end
  end
  local failed = note and note(KEYS[1], new, 2 * revision)
  if failed then
    if KEYS[4] then redis.pcall('UNLINK', KEYS[4]) end
    return failed
  end
  if KEYS[4] then
    redis.call('RENAME', KEYS[4], KEYS[1])
  else
    redis.call('SET', KEYS[1], record, 'PX', ttl_ms)
  end
  if absolute_end_ms ~= struct.unpack('>I8', found, 17) then
    -- include reschedule
  end
end
