-- floor: from now on, what was stored before gets no new ID, and logins that have begun are refused.
-- KEYS     when everything was revoked, one for each bucket
-- ARGV[1]  TTL in ms: no ticket is older
-- ARGV[2]  who revokes: a late copy of this call changes nothing (24 characters)
-- Returns  {1, now_ms, 0}
-- include now
for _, floor in ipairs(KEYS) do
  if string.sub(redis.call('GET', floor) or '', -24) ~= ARGV[2] then
    redis.call('SET', floor, string.format('%.0f ', now_ms) .. ARGV[2], 'PX', ARGV[1])
  end
end
return {1, now_ms, 0}
