-- pending: what outboxes hold for a secondary, the oldest first in each, and what stands under the keys of the sessions.
-- Why a script: that nothing stands there means the end only if the session was not moved in between.
-- KEYS[n]  outboxes
-- ARGV[1]  the largest score
-- ARGV[2]  how many entries at most
-- ARGV[3]  how many bytes of records at most, after the first one
-- Returns  found: now_ms, then of each entry the number of its outbox, the entry, its score, the record and the time that is
--          left to it in ms; without a record nothing stands there, and with -5 ms a key of another type
-- include now
local found = {now_ms}
if redis.call('EXISTS', unpack(KEYS)) == 0 then return found end
local room, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
for n = 1, #KEYS do
  local outbox = KEYS[n]
  local entries = redis.call('ZRANGEBYSCORE', outbox, '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, room)
  for at = 1, #entries, 2 do
    if bytes < 0 then return found end
    local record = string.match(outbox, '^.-}:') .. 'session:' .. string.sub(entries[at], 17)
    local text, left_ms = redis.pcall('GET', record), redis.call('PTTL', record)
    if type(text) == 'table' then text, left_ms = '', -5 end
    text = text or ''
    local last = #found
    found[last + 1], found[last + 2], found[last + 3] = n, entries[at], entries[at + 1]
    found[last + 4], found[last + 5] = text, left_ms
    room, bytes = room - 1, bytes - #text
  end
  if room <= 0 then return found end
end
return found
