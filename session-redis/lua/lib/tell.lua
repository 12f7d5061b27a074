-- Tells the processes `waiting` for `lock` (`hand_over` says how they are written) that it is gone. Never fails.
for _, process in ipairs(waiting) do
  local channel = string.sub(process, 19)
  local publish = string.find(channel, '{', 1, true) and 'SPUBLISH' or 'PUBLISH'
  if channel ~= '' then redis.pcall(publish, channel, lock) end
end
