-- wait: take the lock if it is this process' turn, or stand in the queue for it.
-- Why a script: nobody goes ahead of those who wait, also when the lock has just run out.
-- KEYS[1]  record: the JSON of sanic-cookies
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  head
-- ARGV[1]  the process, as it stands in the queue: owner value (16 bytes), time of an offer in ms (2 bytes), channel
-- ARGV[2]  TTL of the lock in ms
-- ARGV[3]  TTL of the queue in ms
-- ARGV[4]  since when it waits, in server ms, as it was answered before; empty: from now on
-- Returns  {code, now_ms, left_ms, ahead}: 1 it has the lock | 0 it waits, the lock runs out in left_ms unless renewed
--          | -1 no record | -2 ended | -5 a key of another type | -6 the head is not of this format | -7 expired
--          | -9 the lock is a key of another type
-- include now
-- include header
-- include version
-- include hand_over
-- include queue_up
local found, fault = version()
if not found then return {fault, now_ms, 0} end
local waits = queue_up()
if waits then return waits end
return {1, now_ms, 0}
