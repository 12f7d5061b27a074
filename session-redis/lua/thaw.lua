-- thaw: make a session live again that was frozen for a login which was refused.
-- KEYS[1]  record
-- ARGV[1]  who has frozen it (8 bytes)
-- ARGV[2]  the revision that it had; 0: it is not known any more
-- Returns  {code, now_ms, 0}: 1 lives | 0 it is not what was frozen any more
-- include now
local found = redis.pcall('GETRANGE', KEYS[1], 0, 43)
if type(found) ~= 'string' or #found < 44 then return {0, now_ms, 0} end
if string.sub(found, 1, 8) ~= ARGV[1] or string.sub(found, 28, 28) ~= 'F' then return {0, now_ms, 0} end
local absolute_end_ms, idle_ms = struct.unpack('>I8', found, 17), struct.unpack('>I8', found, 37)
local revision = tonumber(ARGV[2])
revision = struct.pack('>I8', revision > 0 and revision or now_ms)
redis.call('SETRANGE', KEYS[1], 0, revision .. string.sub(found, 9, 27) .. 'L')
redis.pcall('PEXPIRE', KEYS[1], math.max(1, math.min(idle_ms, absolute_end_ms - now_ms)))
return {1, now_ms, 0}
