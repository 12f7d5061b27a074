-- releases: what `release` does for many locks at once.
-- KEYS[i]  lock i
-- ARGV[1]  number of locks
-- ARGV[2*i]  owner value (opaque bytes)
-- ARGV[2*i+1]  channel on which to tell it
-- Returns  {0, code, 0, code, 0...}: 1 freed | -1 not held
local owners = redis.call('MGET', unpack(KEYS))
local answers, freed, channels = {0}, {}, {}
for i = 1, tonumber(ARGV[1]) do
  answers[2 * i], answers[2 * i + 1] = -1, 0
  if owners[i] == ARGV[2 * i] then
    answers[2 * i], answers[2 * i + 1] = 1, 0
    freed[#freed + 1] = KEYS[i]
    channels[#channels + 1] = ARGV[2 * i + 1]
  end
end
if #freed > 0 then
  redis.call('DEL', unpack(freed))
  local heard = redis.pcall('PUBSUB', 'NUMSUB', unpack(channels))
  for i = 1, #channels do
    if heard.err or heard[2 * i] > 0 then redis.pcall('PUBLISH', channels[i], '') end
  end
end
return answers
