-- Looks for an attempt (process 8 bytes, number 4) among those noted in a record's head.
-- Returns 'written' | 'unwritten' | 'forgotten': it may have been there and been pushed out or replaced since.
local function noted(head, attempt)
  local count = string.byte(head, 70)
  for entry = 0, count - 1 do
    local at = 71 + entry * 12
    if string.sub(head, at, at + 7) == string.sub(attempt, 1, 8) then
      local ahead = (struct.unpack('>I4', head, at + 8) - struct.unpack('>I4', attempt, 9)) % 4294967296
      if ahead == 0 then return 'written' end
      -- A later attempt of the same process stands in its place.
      if ahead < 2147483648 then return 'forgotten' end
      return 'unwritten'
    end
  end
  if count >= 8 then return 'forgotten' end
  return 'unwritten'
end
