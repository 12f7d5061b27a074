-- enter: store a session of a user for the first time, where nothing stands, and enter it into the user's list.
-- Why a script: that the user's sessions were not revoked must be true in the very step in which there is one more.
-- KEYS[1]  record
-- KEYS[2]  the user's list of sessions
-- KEYS[3]  the user's labels
-- KEYS[4]  the user's epoch
-- KEYS[5]  when everything was revoked
-- KEYS[6]  what was answered to this very attempt, if it was refused
-- KEYS[7]  staged record, if the record is large: else absent
-- ARGV[1]  absolute timeout in ms
-- ARGV[2]  the revision that it has at least
-- ARGV[3]  TTL of tombstones in ms
-- ARGV[4]  the epoch that the login's ticket names, or empty: no ticket
-- ARGV[5]  when the ticket was issued, or else the login was begun, server ms; or empty
-- ARGV[6]  how many sessions the user may have
-- ARGV[7]  'E' the oldest is ended if there are more | 'R' the login is refused
-- ARGV[8]  labels, or empty
-- ARGV[9]  credential tag, or empty
-- ARGV[10]  the record after its absolute end; staged: as far as its head goes
-- Returns  {code, now_ms, extra}: 1 stored | 2 stored before | -4 another record stands there
--          | -5 a key of another type | -6 not a record of this format | -8 staged record missing | -12 superseded
--          | -13 the user is disabled | -14 too many sessions; extra is the revision if stored, else 1 if an earlier
--          delivery of this attempt may have been stored
-- include now
-- include note
-- include header
-- include digest
-- include users
local TOMBSTONE_MS = ARGV[3]
-- include finish
-- include admit
-- include first
-- include once
local function refuse(code, extra)
  if KEYS[7] then redis.pcall('UNLINK', KEYS[7]) end
  return {code, now_ms, extra}
end

local rest = ARGV[10]
-- Refuses for good: a copy of this attempt that comes late, when it could be let in, finds what this one was told.
local function turn_away(code)
  return refuse(code, keep(KEYS[6], code, 0) and 0 or 1)
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  local head, fault = header(KEYS[1])
  if not head then return refuse(fault, 0) end
  local attempt = noted(head, string.sub(rest, 47, 58))
  if attempt == 'written' then return refuse(2, (struct.unpack('>I8', head))) end
  return refuse(-4, attempt == 'forgotten' and 1 or 0)
end
local before = answered(KEYS[6])
if before then return refuse(before[1], 0) end
local handle = string.sub(rest, 21, 36)
local login = {
  epoch = ARGV[4], issued_ms = ARGV[5], max = ARGV[6], when_full = ARGV[7], labels = ARGV[8],
  credential = ARGV[9],
}
local refused, ending, over = admit(login, KEYS[2], KEYS[3], KEYS[4], KEYS[5], handle)
if refused then return turn_away(refused) end

local revision = math.max(tonumber(ARGV[2]), now_ms)
local head = first(KEYS[1], KEYS[7], rest, tonumber(ARGV[1]), revision)
if type(head) == 'table' then
  if head.err then return head end
  return turn_away(head.code)
end
local absolute_end_ms = now_ms + tonumber(ARGV[1])
local failed = enlist(KEYS[2], member(KEYS[1], head), absolute_end_ms) or note and note(KEYS[1], head, 2 * revision)
if failed then
  redis.pcall('DEL', KEYS[1])
  redis.pcall('ZREM', KEYS[2], member(KEYS[1], head))
  return failed
end
admitted(login, KEYS[2], KEYS[3], handle, ending, over, absolute_end_ms)
return {1, now_ms, revision}
