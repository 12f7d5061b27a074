-- revoke: end sessions of a user, completely: what is being stored or changed at this moment comes before or after.
-- The first write frees, so it works on a server that is full.
-- KEYS[1]  the user's list of sessions
-- KEYS[2]  the user's labels
-- KEYS[3]  the user's epoch
-- KEYS[4]  what was answered to this very call
-- ARGV[1]  'one' | 'others' | 'all' | 'disable'
-- ARGV[2]  the handle that is meant by 'one' and spared by 'others' (16 bytes), else empty
-- ARGV[3]  TTL of tombstones in ms
-- ARGV[4]  TTL of the epoch in ms: no ticket is older
-- ARGV[5]  how many sessions one step ends at most
-- ARGV[6]  the time of the first step in server ms: what was stored since is not meant; in the first step empty
-- Returns  {code, now_ms, ended}: 1 done | 0 done, but for a rest | -6 done, but for records that cannot be read; to a
--          copy of this call, what the first one was answered
-- include now
-- include note
-- include users
-- include finish
-- include once
local before = answered(KEYS[4])
if before then return before end
local which, limit, since_ms = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6]) or now_ms

if ARGV[6] == '' and (which == 'all' or which == 'disable') then
  -- From now on, no login that has begun gets in.
  local epoch = tonumber(redis.call('GET', KEYS[3]) or 0)
  redis.call('HDEL', KEYS[2], '')
  local raised = math.abs(epoch) + 1
  if which == 'disable' or epoch < 0 then
    redis.call('SET', KEYS[3], -raised)
  else
    redis.call('SET', KEYS[3], raised, 'PX', ARGV[4])
  end
end

local ended, unreadable = 0, false
for _, one in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local handle, hash = string.sub(one, 1, 16), string.sub(one, 17)
  if which ~= 'one' and which ~= 'others' or (handle == ARGV[2]) == (which == 'one') then
    local record = beside(KEYS[1], 'session:' .. hash)
    local head = listed(record)
    local kind = string.sub(head, 25, 28)
    if kind == 'LK\1L' or kind == 'LK\1F' then
      -- A frozen one is in the middle of a login that can be refused yet, and then it would live again.
      if struct.unpack('>I8', head, 9) <= since_ms then
        if ended == limit then
          keep(KEYS[4], 0, ended)
          return {0, now_ms, ended}
        end
        local failed = note and note_end(record, head)
        if failed then return failed end
        finish(record, beside(KEYS[1], 'lock:' .. hash), beside(KEYS[1], 'queue:' .. hash), head, ARGV[3])
        ended = ended + 1
      end
    elseif head == '' or kind == 'LK\1T' or kind == 'LK\1A' then
      redis.pcall('ZREM', KEYS[1], one)
      if head == '' then redis.pcall('HDEL', KEYS[2], handle) end
    else
      unreadable = true
    end
  end
end
keep(KEYS[4], unreadable and -6 or 1, ended)
if unreadable then return {-6, now_ms, ended} end
return {1, now_ms, ended}
