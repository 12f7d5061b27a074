-- leave: take a process out of the queue for a lock; if the lock is free, tell the next one.
-- KEYS[1]  record, not used: scripts of one session have the same keys
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  the process: the channel that it listens on
-- Returns  {code, now_ms, 0}: 1 done
-- include now
redis.call('ZREM', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  -- include wake
end
return {1, now_ms, 0}
