-- The head of the record that the holder of the lock has loaded, or why it takes no write.
-- ARGV[1]  owner value
-- ARGV[2]  what identifies the version that was loaded
local function held()
  local head, fault = header(KEYS[1])
  if not head then return nil, fault end
  local refused = not_live(head)
  if refused then return nil, refused end
  if redis.call('GET', KEYS[2]) ~= ARGV[1] then return nil, -3 end
  if string.sub(head, 25, 36) ~= ARGV[2] then return nil, -4 end
  local tag = string.sub(head, 61, 68)
  if tag ~= NOBODY and not redis.call('ZSCORE', user_key(KEYS[1], 'user:', tag), member(KEYS[1], head)) then
    -- It is not in its user's list any more: about to be ended.
    return nil, -2
  end
  if floor_ms(beside(KEYS[1], 'floor')) >= struct.unpack('>I8', head, 9) then return nil, -2 end
  return head
end
