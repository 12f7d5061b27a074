-- standing: what a login that begins now is held against.
-- KEYS[1]  the user's epoch
-- KEYS[2]  what was answered to this very call, if it is to accept logins again: else absent
-- ARGV[1]  TTL of the epoch in ms: it is known for as long as a ticket that names it
-- ARGV[2]  1: accept logins again | 0
-- Returns  {1, now_ms, epoch}: below zero if the user is disabled
-- include now
-- include once
local before = KEYS[2] and answered(KEYS[2])
if before then return before end
local epoch = tonumber(redis.call('GET', KEYS[1]) or 0)
if ARGV[2] == '1' and epoch < 0 then
  epoch = -epoch
  redis.call('SET', KEYS[1], epoch, 'PX', ARGV[1])
elseif epoch > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
if KEYS[2] then keep(KEYS[2], 1, epoch) end
return {1, now_ms, epoch}
