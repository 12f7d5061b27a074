-- Gives out the next fence of a resource, larger than `floor`; a resource without one starts from the server's clock, if
-- that is allowed. Returns the fence; or nil and what went wrong, and nothing has changed.
-- include fence_ttl
local function next_fence(key, floor, from_clock)
  local counted = redis.pcall('INCR', key)
  if type(counted) ~= 'number' then return nil, counted end
  if counted > 1 and counted > floor and counted < 9007199254740992 then
    local left_ms = redis.pcall('PTTL', key)
    if type(left_ms) == 'number' and left_ms > fence_kept_ms then return counted end
  end

  local fence, failure = math.max(counted, floor + 1), {-3, 0}
  if counted == 1 and from_clock then
    local time = redis.pcall('TIME')
    if time.err then
      fence, failure = nil, time
    else
      fence = math.max(fence, (time[1] * 1000 + math.floor(time[2] / 1000)) * 1024 + 1)
    end
  end
  if fence and fence < 9007199254740992 then
    local set = redis.pcall('SET', key, string.format('%.0f', fence), 'PX', fence_ttl_ms)
    if set.ok then return fence end
    failure = set
  end
  if counted == 1 then redis.pcall('DEL', key) else redis.pcall('DECR', key) end
  return nil, failure
end
