-- admit: take a node that has lost its data, or is new, into the quorum, when that is safe.
-- Why a script: the time that was waited for and the floors that were asked for must be those of data that stand.
-- KEYS[1]  marker: the floor of the admission
-- KEYS[2]  pending: the server's time in ms when admission was first asked for, and the largest floor so far
-- ARGV[1]  how long it must have been asked for, in ms
-- ARGV[2]  1: this is the first use, which need not wait unless somebody has asked before, and knows better
-- ARGV[3]  every fence has to be larger than this; absent: not known yet, the wait begins
-- ARGV[4]  the wait in which that was read; absent: it is good in each
-- Returns  {1, 0, 0} admitted | {0, left_ms, wait} admitted if asked again after left_ms, with a floor; the wait is known by
--          the server's time at its beginning
local marker = redis.call('GET', KEYS[1])
if marker then
  if ARGV[3] and tonumber(marker) < tonumber(ARGV[3]) then redis.call('SET', KEYS[1], ARGV[3]) end
  return {1, 0, 0}
end

-- include now
local asked_ms, floor = now_ms, tonumber(ARGV[3] or 0)
local pending = redis.call('GET', KEYS[2])
if pending then
  local since_ms, asked_floor = string.match(pending, '^(%d+) (%d+)$')
  asked_ms, floor = math.min(asked_ms, since_ms), math.max(floor, asked_floor)
end
local left_ms = math.max(0, ARGV[1] - (now_ms - asked_ms))
local waited = left_ms == 0 or ARGV[2] == '1' and not pending
-- A late copy of a request brings a floor from before the data were lost once more.
local known = ARGV[3] and (not ARGV[4] or tonumber(ARGV[4]) == asked_ms)
if not waited or not known then
  redis.call('SET', KEYS[2], string.format('%.0f %.0f', asked_ms, floor), 'PX', 2 * ARGV[1] + 60000)
  return {0, left_ms, asked_ms}
end
redis.call('SET', KEYS[1], string.format('%.0f', floor))
redis.pcall('DEL', KEYS[2])
return {1, 0, 0}
