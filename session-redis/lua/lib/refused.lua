-- Refused. First of all: was this very attempt stored before? It cannot be told after a look at owner and version,
-- for they are gone once it is.
-- include header
-- include digest
-- include kinds
local function refuse(code, extra)
  -- A negative answer is final: whoever gets it has no lock any more under which a late copy could be stored.
  if redis.pcall('GET', KEYS[2]) == ARGV[1] then
    -- include give_way
  end
  if KEYS[4] then redis.pcall('UNLINK', KEYS[4]) end
  return {code, now_ms, extra}
end

local head, fault = header(KEYS[1])
if not head then
  if fault == -1 and type(found) == 'string' and found ~= '' then return refuse(-7, 0) end
  return refuse(fault, fault == -1 and 1 or 0)
end
local attempt = noted(head, string.sub(new, 71, 82))
if attempt == 'written' then
  local revision = struct.unpack('>I8', head)
  if keeps_lock then return {2, now_ms, revision} end
  return refuse(2, revision)
end
local forgotten = attempt == 'forgotten' and 1 or 0
local dead = not_live(head)
if dead then return refuse(dead, forgotten) end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return refuse(-3, forgotten) end
if string.sub(head, 25, 36) ~= ARGV[2] then return refuse(-4, forgotten) end
return refuse(-8, forgotten)
