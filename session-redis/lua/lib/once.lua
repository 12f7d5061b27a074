-- For calls that are to act once, however often and however late copies of them come: their answers are kept for as long
-- as tombstones are, under a key of the call's own.

-- What a copy of this call was answered: {code, now_ms, extra}; or nil.
local function answered(note)
  local kept = redis.call('GET', note)
  if not kept then return nil end
  local code, then_ms, extra = struct.unpack('>i8i8i8', kept)
  return {code, then_ms, extra}
end

-- Keeps the answer to this call; whether there was room for it, for else a copy acts once more. Never fails.
local function keep(note, code, extra)
  return redis.pcall('SET', note, struct.pack('>i8i8i8', code, now_ms, extra), 'PX', 300000).err == nil
end
