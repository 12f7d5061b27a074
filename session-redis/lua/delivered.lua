-- delivered: take entries out of outboxes, unless something newer was noted for their sessions.
-- KEYS[n]  outbox of the n-th entry
-- ARGV[2 * n - 1]  entry
-- ARGV[2 * n]  score that was delivered
-- Returns  {code, now_ms, 0}: 1 done
-- include now
for n = 1, #KEYS do
  local entry = ARGV[2 * n - 1]
  if redis.call('ZSCORE', KEYS[n], entry) == ARGV[2 * n] then redis.call('ZREM', KEYS[n], entry) end
end
return {1, now_ms, 0}
