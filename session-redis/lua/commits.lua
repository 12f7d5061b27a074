-- commits: what `commit` does for many sessions at once, as long as nothing is out of the ordinary.
-- Why a script for many: the server's time, the owners and the freed locks are then one call for all.
-- Nothing here ends the script half-way. A session that cannot be written is left as it is: `commit` has to be asked.
-- Of session i, with k = (i - 1) * 3, or * 4 if records are staged, and a = (i - 1) * 3 + 1:
-- KEYS[k+1]  record
-- KEYS[k+2]  lock
-- KEYS[k+3]  queue of waiting processes
-- KEYS[k+4]  staged record, if records are large: else absent
-- ARGV[1]  number of sessions
-- ARGV[a+1]  owner value (opaque bytes)
-- ARGV[a+2]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[a+3]  the new record, under the revision that its writer expects; staged: as far as its head goes
-- Returns  {now_ms, code, extra, code, extra...}: 1 stored, extra is the revision | 0 left alone
-- include now
-- include note
local sessions = tonumber(ARGV[1])
local width = #KEYS / sessions
local locks = {}
for k = 0, #KEYS - 1, width do locks[#locks + 1] = KEYS[k + 2] end
local owners = redis.call('MGET', unpack(locks))
local answers, freed, queues = {now_ms}, {}, {}
for i = 1, sessions do
  local k, a = (i - 1) * width, (i - 1) * 3 + 1
  local key, new, stage = KEYS[k + 1], ARGV[a + 3], width == 4 and KEYS[k + 4]
  local found = redis.pcall('GETRANGE', key, 0, 35)
  answers[2 * i], answers[2 * i + 1] = 0, 0
  if type(found) == 'string' and string.sub(found, 25) == ARGV[a + 2] and owners[i] == ARGV[a + 1] then
    -- include quickly
    if revision then
      answers[2 * i], answers[2 * i + 1] = 1, revision
      freed[#freed + 1] = KEYS[k + 2]
      queues[#queues + 1] = KEYS[k + 3]
    end
  end
end
if #freed > 0 then
  redis.pcall('DEL', unpack(freed))
  if redis.pcall('EXISTS', unpack(queues)) ~= 0 then
    -- include hand_over
    for i = 1, #queues do
      hand_over(freed[i], queues[i])
    end
  end
end
return answers
