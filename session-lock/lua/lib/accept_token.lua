-- Accepts a fencing token if it is larger than the one that stands under `key`, or, if `same` is '1', the same again; and
-- keeps it there for `ttl_ms`. Compared as text: numbers in Lua are exact up to 2^53 only.
-- Returns nil, and what stood there before (false: nothing). Or, and nothing has changed, what a script answers then:
-- {0, highest} the token is refused | -2 what stands there is no token | an error
local function accept_token(key, token, same, ttl_ms)
  local number = string.match(token, '^0*(%d+)$')
  if not number then return redis.error_reply('ERR the fencing token is not a number') end
  local former = redis.pcall('GET', key)
  if type(former) == 'table' then
    if string.find(former.err, 'WRONGTYPE', 1, true) then return -2 end
    return former
  end
  local highest = string.match(former or '0', '^0*(%d+)$')
  if not highest then return -2 end
  local larger = #number > #highest or #number == #highest and number > highest
  if not larger and not (number == highest and same == '1') then return {0, highest} end
  local set = redis.pcall('SET', key, number, 'PX', ttl_ms)
  if set.err then return set end
  return nil, former
end
