-- login: let a session go on as one of a user, under another ID, and leave a copy of what it was, or nothing, under the
-- old one. On a server that has all keys; on a cluster it takes `freeze` and `enter`.
-- Why a script: a crash between the two would lose the session.
-- KEYS[1]  record under the old ID
-- KEYS[2]  lock
-- KEYS[3]  queue of waiting processes
-- KEYS[4]  record under the new ID
-- KEYS[5]  the user's list of sessions
-- KEYS[6]  the user's labels
-- KEYS[7]  the user's epoch
-- KEYS[8]  when everything was revoked, in the user's bucket
-- KEYS[9]  staged record, if the record is large: else absent
-- ARGV[1]  owner value (opaque bytes)
-- ARGV[2]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[3]  'F' a copy for the grace | 'T' nothing
-- ARGV[4]  grace in ms
-- ARGV[5]  absolute timeout in ms
-- ARGV[6]  TTL of tombstones in ms
-- ARGV[7]  the epoch that the login's ticket names, or empty: no ticket
-- ARGV[8]  when the ticket was issued, server ms; or empty
-- ARGV[9]  how many sessions the user may have
-- ARGV[10]  'E' the oldest is ended if there are more | 'R' the login is refused
-- ARGV[11]  labels, or empty
-- ARGV[12]  credential tag, or empty
-- ARGV[13]  the record after its absolute end; staged: as far as its head goes
-- Returns  {code, now_ms, extra}: 1 done | 2 done before | -1 no record | -2 ended | -3 not the owner
--          | -4 another version | -5 a key of another type | -6 not a record of this format | -8 staged record missing
--          | -11 it has a new ID | -12 superseded | -13 the user is disabled | -14 too many sessions; extra is the
--          revision if done, else 1 if an earlier delivery of this attempt may have been stored
-- include now
-- include note
-- include header
-- include users
local TOMBSTONE_MS = ARGV[6]
-- include kinds
-- include finish
-- include holder
-- include leave_old
-- include admit
-- include first
local function refuse(code, extra)
  if redis.pcall('GET', KEYS[2]) == ARGV[1] then let_go() end
  if KEYS[9] then redis.pcall('UNLINK', KEYS[9]) end
  return {code, now_ms, extra}
end

-- Nobody else knows the new ID: if anything stands there, it is from this very attempt.
local made = header(KEYS[4])
if made then return refuse(2, (struct.unpack('>I8', made))) end
local old, refused = held()
if not old then return refuse(refused, (refused == -11 or refused == -1 or refused == -2) and 1 or 0) end
local rest, absolute_ms = ARGV[13], tonumber(ARGV[5])
local handle, ending = string.sub(rest, 21, 36), nil
local login = {
  epoch = ARGV[7], issued_ms = ARGV[8], max = ARGV[9], when_full = ARGV[10], labels = ARGV[11],
  credential = ARGV[12],
}
local over
refused, ending, over = admit(login, KEYS[5], KEYS[6], KEYS[7], KEYS[8], handle)
if refused then return refuse(refused, 0) end

local revision = math.max(struct.unpack('>I8', old) + 1, now_ms)
local head = first(KEYS[4], KEYS[9], rest, absolute_ms, revision)
if type(head) == 'table' then
  if head.err then return head end
  return refuse(head.code, 0)
end
local failed = enlist(KEYS[5], member(KEYS[4], head), now_ms + absolute_ms) or note and note(KEYS[4], head, 2 * revision)
if failed then
  redis.pcall('DEL', KEYS[4])
  redis.pcall('ZREM', KEYS[5], member(KEYS[4], head))
  return failed
end
local left, fault = true, nil
if ARGV[3] == 'T' then
  left, fault = pcall(finish, KEYS[1], KEYS[2], KEYS[3], old, TOMBSTONE_MS)
elseif shorten(KEYS[1], tonumber(ARGV[4])) or type(redis.pcall('SETRANGE', KEYS[1], 27, 'F')) == 'table' then
  -- It can be no copy: then the old ID names nothing.
  left, fault = pcall(redis.call, 'DEL', KEYS[1])
end
if not left then
  redis.pcall('DEL', KEYS[4])
  redis.pcall('ZREM', KEYS[5], member(KEYS[4], head))
  if note then has_moved(KEYS[4], head) end
  error(fault, 0)
end
if note then has_moved(KEYS[1], old) end
if ARGV[3] ~= 'T' then let_go() end
admitted(login, KEYS[5], KEYS[6], handle, ending, over, now_ms + absolute_ms)
return {1, now_ms, revision}
