-- seen: move the idle end of a row forward, never past its absolute end.
-- KEYS[1]  row: version, absolute end, idle end, creation (8 bytes each), flags, then the rest
-- ARGV[1]  idle end, in ms since 1970
-- Returns  {code, now_ms, 0}: 1 moved | 0 it is there already, or there is no row | -5 a key of another type
-- include now
local head = redis.pcall('GETRANGE', KEYS[1], 0, 23)
if type(head) ~= 'string' then return {-5, now_ms, 0} end
if #head < 24 then return {0, now_ms, 0} end
local absolute_end, idle_end = struct.unpack('>I8I8', head, 9)
local new = math.min(tonumber(ARGV[1]), absolute_end)
if new <= idle_end then return {0, now_ms, 0} end
redis.call('SETRANGE', KEYS[1], 16, struct.pack('>I8', new))
return {1, now_ms, 0}
