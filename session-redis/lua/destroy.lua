-- destroy: end a session for everybody, whoever holds its lock; or only under the lock, if an owner is given.
-- Begins with a freeing write, so it works on a server that is full.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  owner value (opaque bytes), or empty: whoever holds the lock
-- ARGV[2]  TTL of the tombstone in ms
-- ARGV[3]  1: an alias is ended itself | 0: it is left alone, for it is its session that is meant
-- Returns  {code, now_ms, 0}: 1 ended | -1 no record | -2 ended before | -3 not the owner
--          | -5 a key of another type | -6 not a record of this format | -11 it has a new ID
-- include now
-- include note
-- include header
-- include users
-- include finish
local head, fault = header(KEYS[1])
if not head then return {fault, now_ms, 0} end
local kind = string.sub(head, 28, 28)
if kind == 'T' then return {-2, now_ms, 0} end
if ARGV[1] ~= '' and kind ~= 'L' or kind == 'A' and ARGV[3] == '0' then return {-11, now_ms, 0} end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return {-3, now_ms, 0} end
local failed = note and note_end(KEYS[1], head)
if failed then return failed end
finish(KEYS[1], KEYS[2], KEYS[3], head, ARGV[2])
return {1, now_ms, 0}
