-- A process in a queue: the owner value under which it is to have the lock (16 bytes), how long that offer stands in ms
-- (2 bytes), and the channel on which it hears of it; without a channel it looks by itself. A channel with braces is one of
-- this slot.

-- Offers a free lock to the process that waits longest and lives: one that has gone is subscribed to nothing. How many
-- have received a message tells less: whoever monitors the server counts, too. Never fails.
local function hand_over(lock, queue)
  for _ = 1, 1024 do
    local process = redis.pcall('ZPOPMIN', queue)[1]
    if not process then return end
    local channel = string.sub(process, 19)
    local here = string.find(channel, '{', 1, true)
    if #process >= 18
      and (channel == '' or redis.pcall('PUBSUB', here and 'SHARDNUMSUB' or 'NUMSUB', channel)[2] ~= 0) then
      redis.pcall('SET', lock, string.sub(process, 1, 16), 'NX', 'PX', 256 * string.byte(process, 17) + string.byte(process, 18))
      if channel ~= '' then redis.pcall(here and 'SPUBLISH' or 'PUBLISH', channel, lock) end
      return
    end
  end
end
