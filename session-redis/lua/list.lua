-- list: the live sessions of a user.
-- Why a script: one that gets a new ID meanwhile must be in the list once.
-- KEYS[1]  the user's list of sessions
-- KEYS[2]  the user's labels
-- Returns  answer: {now_ms, head, left_ms, labels, head...}
-- include now
-- include users
local answer = {now_ms}
for _, one in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = beside(KEYS[1], 'session:' .. string.sub(one, 17))
  local head = listed(record)
  if string.sub(head, 25, 28) == 'LK\1L' then
    answer[#answer + 1] = head
    answer[#answer + 1] = redis.call('PTTL', record)
    answer[#answer + 1] = redis.call('HGET', KEYS[2], string.sub(one, 1, 16)) or ''
  elseif head == '' then
    redis.pcall('ZREM', KEYS[1], one)
    redis.pcall('HDEL', KEYS[2], string.sub(one, 1, 16))
  end
end
return answer
