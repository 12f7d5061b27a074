-- The version of the session that stands: {id, head, raw, ours}; or nil, why not, and its head if it has one.
-- -1 no record | -2 ended | -5 a key of another type | -6 its head is not of this format | -7 expired
-- Whoever knows nothing of heads changes the JSON alone. Then its SHA-1 is not the one that stands behind the head, and
-- the version is named by the SHA-1. `head` is nil if there is none.
local function version()
  local head, fault = header(KEYS[4])
  if not head and fault ~= -1 then return nil, fault end
  local sum
  if head then
    local length = 70 + 12 * string.byte(head, 70)
    head, sum = string.sub(head, 1, length), redis.call('GETRANGE', KEYS[4], length, -1)
    if string.sub(head, 28, 28) == 'T' then return nil, -2, head end
  end
  local raw = redis.pcall('GET', KEYS[1])
  if type(raw) == 'table' then
    if string.find(raw.err, 'WRONGTYPE', 1, true) then return nil, -5, head end
    error(raw.err)
  end
  if not raw then return nil, -1, head end
  if head and struct.unpack('>I8', head, 17) <= now_ms then return nil, -7, head end
  local found = redis.sha1hex(raw)
  if sum == found then return {id = string.sub(head, 25, 36), head = head, raw = raw, ours = true} end
  local high, low = tonumber(string.sub(found, 1, 8), 16), tonumber(string.sub(found, 9, 16), 16)
  return {id = 'LK\1L' .. struct.pack('>I4I4', high, low), head = head, raw = raw}
end
