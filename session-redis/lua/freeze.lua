-- freeze: the first half of `login` on a cluster: make a session a copy that is only read, for the grace.
-- KEYS[1]  record
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[3]  who freezes: 8 random bytes, in the place of the revision, which nothing asks of a copy
-- ARGV[4]  grace in ms
-- Returns  {code, now_ms, extra}: 1 frozen | 2 frozen before, by the same | -1 no record | -2 ended | -3 not the owner
--          | -4 another version | -5 a key of another type | -6 not a record of this format | -11 it has a new ID;
--          extra is the revision if frozen now
-- include now
-- include note
-- include header
-- include users
-- include kinds
-- include holder
-- include leave_old
local head, refused = held()
if not head then
  local found = redis.pcall('GETRANGE', KEYS[1], 0, 35)
  if type(found) == 'string' and string.sub(found, 1, 8) == ARGV[3] and string.sub(found, 28, 28) == 'F' then
    return {2, now_ms, 0}
  end
  if redis.pcall('GET', KEYS[2]) == ARGV[1] then let_go() end
  return {refused, now_ms, 0}
end
-- If this login is never heard of again, the session is lost when the copy is gone.
local failed = note and note(KEYS[1], head, 2 * struct.unpack('>I8', head))
if failed then return failed end
-- One write, or a live session would have these bytes as its revision.
redis.call('SETRANGE', KEYS[1], 0, ARGV[3] .. string.sub(head, 9, 27) .. 'F')
failed = shorten(KEYS[1], tonumber(ARGV[4]))
if failed then
  redis.pcall('SETRANGE', KEYS[1], 0, string.sub(head, 1, 28))
  return failed
end
let_go()
return {1, now_ms, (struct.unpack('>I8', head))}
