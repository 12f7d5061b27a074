-- Ends what stands under a session's key, whoever holds its lock, and takes it out of its user's list: `head` is its
-- head. Begins with a freeing write; nothing after that fails.
local function finish(record, lock, queue, head, tombstone_ms)
  local waiting = redis.pcall('ZRANGE', queue, 0, -1)
  redis.call('DEL', record, lock, queue)
  -- The tombstone is for late writers to learn what happened; that nothing can write where no record stands is what
  -- makes the end final.
  local tombstone = string.sub(head, 1, 27) .. 'T' .. string.sub(head, 29, 70 + 12 * string.byte(head, 70))
  redis.pcall('SET', record, tombstone, 'PX', tombstone_ms)
  local tag = string.sub(head, 61, 68)
  if tag ~= NOBODY then
    redis.pcall('ZREM', user_key(record, 'user:', tag), member(record, head))
    redis.pcall('HDEL', user_key(record, 'labels:', tag), string.sub(head, 45, 60))
  end
  -- include tell
end
