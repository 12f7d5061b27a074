-- backlog: how much outboxes hold for a secondary.
-- KEYS[n]  outboxes
-- KEYS[n + #KEYS / 2]  what was set aside of the n-th
-- Returns  {code, now_ms, count, {oldest, aside}}: 1 done; oldest is the smallest score, empty if there is none
-- include now
local count, oldest, aside = 0, '', 0
if redis.call('EXISTS', unpack(KEYS)) > 0 then
  for n = 1, #KEYS / 2 do
    local first = redis.call('ZRANGE', KEYS[n], 0, 0, 'WITHSCORES')[2]
    if first then
      count = count + redis.call('ZCARD', KEYS[n])
      if oldest == '' or tonumber(first) < tonumber(oldest) then oldest = first end
    end
    aside = aside + redis.call('ZCARD', KEYS[n + #KEYS / 2])
  end
end
return {1, now_ms, count, {oldest, aside}}
