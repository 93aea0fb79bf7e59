-- Make retired bits free again after a sweep that took them from every cookie.
--
-- KEYS  1 hash of retired bits -> since when, 2 set of free bits
-- ARGV  1 epoch second: bits retired later than this stay, 2.. the bits that the sweep took away
-- Reply how many are free now that were not

local released = 0
for i = 2, #ARGV do
  local since = redis.call('HGET', KEYS[1], ARGV[i])
  if since and tonumber(since) <= tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('SADD', KEYS[2], ARGV[i])
    released = released + 1
  end
end
return released
