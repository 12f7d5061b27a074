-- verify: find out whether the server has started anew since the node was admitted. What it has then may be older than
-- what it had: it is not admitted any more, and has to wait like a node that has lost its data.
-- Runs before any other script of this run can: wherever scripts are loaded.
-- KEYS[1]  marker: the floor of the node's admission
-- KEYS[2]  pending: the server's time in ms when admission was first asked for, and the largest floor so far
-- KEYS[3]  run: which run of the server the node belongs to
-- Returns  1 the same run, or the first one that is known | 0 another run | -1 INFO is not permitted
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
if not run then return -1 end
local known = redis.call('GET', KEYS[3])
if known == run then return 1 end
if not known then
  redis.call('SET', KEYS[3], run)
  return 1
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  -- Fences that are there may be older too. From now on, all lie above the clock.
  -- include now
  redis.call('SET', KEYS[2], string.format('%.0f %.0f', now_ms, now_ms * 1024), 'PX', 7200000)
  redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[3], run)
return 0
