-- limit: take a use of a limit, give one back, or look.
-- Why a script: of takes at the same moment, no more than the limit may be granted.
-- KEYS[1]  what is counted under a name: uses, end of the window in ms, windows used up before
-- ARGV[1]  1 take | -1 give back | 0 look
-- ARGV[2]  uses in a window
-- ARGV[3]  the first window in ms
-- ARGV[4]  the longest window in ms
-- Returns  {code, now_ms, extra}: 1 granted, extra: uses left | 0 refused, extra: ms to the end of the window
-- include now
local change, limit, window_ms, longest_ms =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local used, end_ms, round = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+) (%d+)$')
used, end_ms, round = tonumber(used or 0), tonumber(end_ms or 0), tonumber(round or 0)
if now_ms >= end_ms then
  if change < 0 then return {1, now_ms, limit} end
  round = used >= limit and round + 1 or 0
  used, end_ms = 0, now_ms + math.min(window_ms * 2 ^ round, longest_ms)
end
if change >= 0 and used >= limit then return {0, now_ms, end_ms - now_ms} end
if change ~= 0 then
  used = math.max(used + change, 0)
  local memory_ms = longest_ms > window_ms and longest_ms or 0
  local text = string.format('%.0f %.0f %.0f', used, end_ms, round)
  redis.call('SET', KEYS[1], text, 'PX', string.format('%.0f', end_ms - now_ms + memory_ms))
end
return {1, now_ms, math.max(limit - used, 0)}
