-- Gives the lock to a process if it is its turn; else it stands in the queue. Returns what the script answers, or nil:
-- it has the lock.
-- ARGV[1]  the process, as it stands in the queue
-- ARGV[2]  TTL of the lock in ms
-- ARGV[3]  TTL of the queue in ms
-- ARGV[4]  since when it waits, in server ms, as it was answered before; empty: from now on
local function queue_up()
  local owner = redis.pcall('GET', KEYS[2])
  if type(owner) == 'table' then
    if string.find(owner.err, 'WRONGTYPE', 1, true) then return {-9, now_ms, 0} end
    return owner
  end
  local mine = string.sub(ARGV[1], 1, 16)
  if owner ~= mine then
    -- Server time orders the queue: clocks of clients differ.
    redis.call('ZADD', KEYS[3], 'NX', ARGV[4] == '' and now_ms or ARGV[4], ARGV[1])
    local kept = redis.pcall('PEXPIRE', KEYS[3], ARGV[3])
    if kept ~= 1 then
      redis.pcall('ZREM', KEYS[3], ARGV[1])
      return kept
    end
    if not owner then
      hand_over(KEYS[2], KEYS[3])
      owner = redis.call('GET', KEYS[2])
    end
  end
  if owner ~= mine then return {0, now_ms, redis.call('PTTL', KEYS[2]), redis.call('ZRANK', KEYS[3], ARGV[1])} end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
