-- updates: what `update` does for many sessions at once, as long as nothing is out of the ordinary.
-- Nothing here ends the script half-way. A session that cannot be written is left as it is: `update` has to be asked.
-- Of session i, with k = (i - 1) * 3, or * 4 if records are staged, and a = (i - 1) * 2 + 1:
-- KEYS[k+1]  record
-- KEYS[k+2]  lock
-- KEYS[k+3]  queue of waiting processes
-- KEYS[k+4]  staged record, if records are large: else absent
-- ARGV[1]  number of sessions
-- ARGV[a+1]  what identifies the version that was loaded: magic, format version, kind, commit ID (12 bytes)
-- ARGV[a+2]  the new record, under the revision that its writer expects; staged: as far as its head goes
-- Returns  {now_ms, code, extra, code, extra...}: 1 stored, extra is the revision | 0 left alone
-- include now
-- include note
local sessions = tonumber(ARGV[1])
local width = #KEYS / sessions
local taken = {}
for k = 0, #KEYS - 1, width do
  taken[#taken + 1] = KEYS[k + 2]
  taken[#taken + 1] = KEYS[k + 3]
end
local all_free = redis.call('EXISTS', unpack(taken)) == 0
local answers = {now_ms}
for i = 1, sessions do
  local k, a = (i - 1) * width, (i - 1) * 2 + 1
  local key, new, stage = KEYS[k + 1], ARGV[a + 2], width == 4 and KEYS[k + 4]
  local found = redis.pcall('GETRANGE', key, 0, 35)
  answers[2 * i], answers[2 * i + 1] = 0, 0
  if type(found) == 'string' and string.sub(found, 25) == ARGV[a + 1]
    and (all_free or redis.pcall('EXISTS', KEYS[k + 2], KEYS[k + 3]) == 0) then
    -- include quickly
    if revision then answers[2 * i], answers[2 * i + 1] = 1, revision end
  end
end
return answers
