-- acquires: what `acquire` does for many resources at once, as long as nothing is out of the ordinary.
-- Why a script for many: what acquiring costs the server is mostly the calls.
-- Nothing here ends the script half-way. A lock that is not free is left as it is: `acquire` has to be asked.
-- KEYS[1]  marker; it stands before each lock
-- KEYS[3*i-1]  lock of resource i
-- KEYS[3*i]  fence
-- ARGV[1]  number of resources
-- ARGV[2*i]  owner value (opaque bytes)
-- ARGV[2*i+1]  TTL of the lock in ms
-- Returns  {0, code, extra, code, extra...}: 1 granted, extra is the fence | 0 left alone
-- include next_fence
local marker = redis.call('GET', KEYS[1])
local floor = tonumber(marker)
local answers = {0}
for i = 1, tonumber(ARGV[1]) do
  answers[2 * i], answers[2 * i + 1] = 0, 0
  local taken = floor and redis.pcall('SET', KEYS[3 * i - 1], ARGV[2 * i], 'NX', 'PX', ARGV[2 * i + 1])
  if taken and taken.ok then
    local fence = next_fence(KEYS[3 * i], floor, true)
    if fence then
      answers[2 * i], answers[2 * i + 1] = 1, fence
    else
      redis.pcall('DEL', KEYS[3 * i - 1])
    end
  end
end
return answers
