-- wait: take the lock if it is this process' turn, or stand in the queue for it.
-- Why a script: nobody goes ahead of those who wait, also when the lock has just run out.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  the process, as it stands in the queue: owner value (16 bytes), time of an offer in ms (2 bytes), channel
-- ARGV[2]  TTL of the lock in ms
-- ARGV[3]  TTL of the queue in ms
-- ARGV[4]  since when it waits, in server ms, as it was answered before; empty: from now on
-- Returns  {code, now_ms, left_ms, more}: 1 it has the lock, more is the record, or nil if that is too long for it
--          | 0 it waits, the lock runs out in left_ms unless renewed, more processes are ahead | -1 no record | -2 ended
--          | -5 a key of another type | -6 not a record of this format | -9 the lock is a key of another type
--          | -11 it has a new ID
-- include now
-- include header
-- include kinds
-- include hand_over
-- include queue_up
local head, fault = header(KEYS[1])
if not head then return {fault, now_ms, 0} end
local dead = not_live(head)
if dead then return {dead, now_ms, 0} end
local waits = queue_up()
if waits then return waits end
local record = redis.call('GETRANGE', KEYS[1], 0, 2048)
return {1, now_ms, 0, #record <= 2048 and record}
