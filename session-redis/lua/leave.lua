-- leave: take a process out of the queue for a lock; if the lock is free, tell the next one.
-- KEYS[1]  lock
-- KEYS[2]  queue of waiting processes
-- ARGV[1]  the process: the channel that it listens on
-- Returns  {code, now_ms, 0}: 1 done
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then wake(KEYS[2], KEYS[1]) end
return {1, now(), 0}
