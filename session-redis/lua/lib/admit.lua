-- Checks a login, changing nothing.
-- `login`: the arguments of the script that belong to it.
-- Returns  nil, the sessions to end and the members that are over, or why it is refused: -12 superseded
--          | -13 the user is disabled | -14 too many sessions
local function admit(login, index, labels, epoch_key, floor_key, handle)
  local epoch = tonumber(redis.call('GET', epoch_key) or 0)
  if epoch < 0 then return -13 end
  local issued_ms = tonumber(login.issued_ms)
  if login.epoch ~= '' and (tonumber(login.epoch) ~= epoch or now_ms - issued_ms > 86400000) then return -12 end
  if issued_ms and floor_ms(floor_key) >= issued_ms then return -12 end
  local known = redis.call('HGET', labels, '')
  local is_new_credential = login.credential ~= '' and known and known ~= login.credential
  local over = redis.call('ZRANGEBYSCORE', index, '-inf', now_ms, 'LIMIT', 0, 100)
  local members = redis.call('ZRANGE', index, 0, -1)
  local max = tonumber(login.max)
  if not is_new_credential and #members < max then return nil, {}, over end
  local others = {}
  for _, other in ipairs(members) do
    local head = listed(beside(index, 'session:' .. string.sub(other, 17)))
    local lives = string.sub(head, 25, 28) == 'LK\1L'
    if head == '' then
      over[#over + 1] = other
    elseif lives and string.sub(other, 1, 16) ~= handle then
      others[#others + 1] = {member = other, head = head, created_ms = struct.unpack('>I8', head, 9)}
    end
  end
  if is_new_credential then return nil, others, over end
  local surplus = #others - (max - 1)
  if surplus > 0 and login.when_full == 'R' then return -14 end
  table.sort(others, function(one, other) return one.created_ms < other.created_ms end)
  for newer = #others, math.max(surplus, 0) + 1, -1 do
    others[newer] = nil
  end
  return nil, others, over
end

-- What belongs to a login beside its record. Never fails.
local function admitted(login, index, labels, handle, ending, over, absolute_end_ms)
  local all_ended = true
  for _, other in ipairs(ending) do
    local hash = string.sub(other.member, 17)
    local record = beside(index, 'session:' .. hash)
    local ended = not (note and note_end(record, other.head))
      and pcall(finish, record, beside(index, 'lock:' .. hash), beside(index, 'queue:' .. hash), other.head, TOMBSTONE_MS)
    all_ended = all_ended and ended
  end
  for _, one in ipairs(over) do
    redis.pcall('ZREM', index, one)
    redis.pcall('HDEL', labels, string.sub(one, 1, 16))
  end
  if login.labels ~= '' then redis.pcall('HSET', labels, handle, login.labels) end
  -- Else the next login is to end them.
  if login.credential ~= '' and all_ended then redis.pcall('HSET', labels, '', login.credential) end
  if outlast(labels, absolute_end_ms - now_ms) then redis.pcall('DEL', labels) end
end
