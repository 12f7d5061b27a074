-- wait: put a process in the queue for a lock, or find that there is nothing to wait for.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  head
-- ARGV[1]  the process: the channel that it listens on; empty: it does not listen, and only looks
-- ARGV[2]  TTL of the queue in ms
-- Returns  {code, now_ms, left_ms}: 1 queued, the lock runs out in left_ms unless renewed | 0 the lock is free
--          | -1 no record | -2 ended | -5 a key of another type | -6 the head is not of this format | -7 expired
--          | -9 the lock is a key of another type
-- include now
-- include header
-- include version
local found, fault = version()
if not found then return {fault, now_ms, 0} end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'string' and kind ~= 'none' then return {-9, now_ms, 0} end
local left_ms = redis.call('PTTL', KEYS[2])
if left_ms == -2 then return {0, now_ms, 0} end
-- Server time orders the queue: clocks of clients differ. A process that is in it keeps its place.
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[3], 'NX', now_ms, ARGV[1])
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
end
return {1, now_ms, left_ms}
