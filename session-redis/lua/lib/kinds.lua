-- Why a record whose head is given takes no write: -2 ended | -11 it has a new ID; nil if it lives.
local function not_live(head)
  local kind = string.sub(head, 28, 28)
  if kind == 'L' then return nil end
  return (kind == 'A' or kind == 'F') and -11 or -2
end
