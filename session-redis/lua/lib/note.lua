-- What has changed is noted for each secondary in the slot of the session, in the lists that `OUTBOXES` names: handle
-- (16 bytes), then the hash that ends the names of the session's keys; score = twice the revision, and one more for an end.
-- A store without secondaries has none of these functions.

local function outbox_of(record, name)
  return string.match(record, '^.-}:') .. name
end

-- Notes a version. What of that failed, or nil.
local function note(record, head, version)
  local entry = string.sub(head, 45, 60) .. string.sub(record, -43)
  for _, name in ipairs(OUTBOXES) do
    local noted = redis.pcall('ZADD', outbox_of(record, name), 'GT', version, entry)
    if type(noted) == 'table' then return noted end
  end
end

-- Notes the end of a session that lives. What of that failed, or nil. It counts only if the session has ended, too.
local function note_end(record, head)
  if string.sub(head, 28, 28) ~= 'L' then return nil end
  -- After a write that needs no memory a full server takes all that this script writes.
  redis.pcall('DEL', outbox_of(record, 'outbox:'))
  return note(record, head, 2 * math.max(struct.unpack('>I8', head) + 1, now_ms) + 1)
end

-- The session does not stand under this key any more, but goes on under another one. Never fails.
local function has_moved(record, head)
  local entry = string.sub(head, 45, 60) .. string.sub(record, -43)
  for _, name in ipairs(OUTBOXES) do redis.pcall('ZREM', outbox_of(record, name), entry) end
end
