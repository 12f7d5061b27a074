-- Frees the lock, and offers it to the process that waits longest. Never fails.
redis.pcall('DEL', KEYS[2])
if redis.pcall('EXISTS', KEYS[3]) ~= 0 then
  -- include hand_over
  hand_over(KEYS[2], KEYS[3])
end
