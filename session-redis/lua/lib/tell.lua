-- Tells the processes `waiting` for `lock` (`hand_over` says how they are written) that it is gone. Never fails.
for _, process in ipairs(waiting) do
  if #process > 18 then redis.pcall('PUBLISH', string.sub(process, 19), lock) end
end
