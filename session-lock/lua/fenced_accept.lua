-- fenced_accept: remember a fencing token if it is accepted.
-- Why a script: between reading the largest token and writing it, another one may come.
-- KEYS[1]  fence: the largest token that was accepted
-- ARGV[1]  token, in decimal digits
-- ARGV[2]  1: the largest token so far is accepted again; 0: only a larger one
-- ARGV[3]  TTL of the fence in ms
-- Returns  1 accepted | {0, highest} refused | -2 what stands under the fence's key is no fence
-- include accept_token
local refused = accept_token(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
return 1
