-- set_aside: take an entry out of the way that a secondary does not take, unless something newer was noted.
-- KEYS[1]  outbox
-- KEYS[2]  what was set aside
-- ARGV[1]  entry
-- ARGV[2]  score that was tried
-- Returns  {code, now_ms, 0}: 1 done | 0 something newer was noted
-- include now
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return {0, now_ms, 0} end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
return {1, now_ms, 0}
