-- The head of a record (layout: session-core/src/record.rs), or nil and why not:
-- -1 no record | -5 a key of another type | -6 not a record of this format version
local function header(key)
  local bytes = redis.pcall('GETRANGE', key, 0, 165)
  if type(bytes) ~= 'string' then
    if string.find(bytes.err, 'WRONGTYPE', 1, true) then return nil, -5 end
    error(bytes.err)
  end
  if bytes == '' then return nil, -1 end
  if #bytes < 70 or string.sub(bytes, 25, 27) ~= 'LK\1' then return nil, -6 end
  local attempts = string.byte(bytes, 70)
  if attempts > 8 or #bytes < 70 + 12 * attempts then return nil, -6 end
  return bytes
end
