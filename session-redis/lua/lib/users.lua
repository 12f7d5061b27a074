-- What belongs to users stands in the slot of their sessions, under keys that can be told from a record's key and head.
local NOBODY = string.rep('\0', 8)

local function beside(record, rest)
  return string.match(record, '^.-}:') .. rest
end

-- `user:` the list of sessions: a sorted set of members by absolute end | `labels:` what they are called | `epoch:`
local function user_key(record, kind, tag)
  local hex = string.gsub(tag, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  return beside(record, kind .. hex)
end

-- When everything was revoked, as `floor` has noted it in server ms; or -1.
local function floor_ms(key)
  return tonumber(string.match(redis.call('GET', key) or '-1', '^-?%d+'))
end

-- A session in its user's list: handle (16 bytes), then the hash that ends the names of its keys.
local function member(record, head)
  return string.sub(head, 45, 60) .. string.sub(record, -43)
end

-- The head of a record that is named in a list: of whatever format, and nothing of a key of another type.
local function listed(record)
  local head = redis.pcall('GETRANGE', record, 0, 165)
  if type(head) == 'string' then return head end
  if string.find(head.err, 'WRONGTYPE', 1, true) then return 'another type' end
  error(head.err)
end

-- Lets a key stand for at least as long, if it stands. What of that failed, or nil.
local function outlast(key, ttl_ms)
  local left_ms = redis.pcall('PTTL', key)
  if type(left_ms) == 'number' and (left_ms == -2 or left_ms >= ttl_ms) then return nil end
  local set = redis.pcall('PEXPIRE', key, ttl_ms)
  if type(set) == 'table' then return set end
end

-- Lets a key stand for no longer than that. What of that failed, or nil.
local function shorten(key, ttl_ms)
  local left_ms = redis.pcall('PTTL', key)
  if type(left_ms) == 'number' and left_ms <= ttl_ms then return nil end
  local set = redis.pcall('PEXPIRE', key, ttl_ms)
  if type(set) == 'table' then return set end
end

-- Enters a session into a user's list. What of that failed, or nil: then it is not in it.
local function enlist(index, member, absolute_end_ms)
  local added = redis.pcall('ZADD', index, absolute_end_ms, member)
  if type(added) == 'table' then return added end
  local failed = outlast(index, absolute_end_ms - now_ms)
  if failed then redis.pcall('ZREM', index, member) end
  return failed
end
