-- Delete the users of one bucket whose segments have expired.
--
-- KEYS  1 the bucket's hash: field -> 2 bytes of expiry day, big-endian, then the bitset
-- ARGV  1 today, days since 1970-01-01
-- Reply how many were deleted

local today = tonumber(ARGV[1])
local swept = 0
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local high, low = string.byte(entries[i + 1], 1, 2)
  if (high or 0) * 256 + (low or 0) < today then
    redis.call('HDEL', KEYS[1], entries[i])
    swept = swept + 1
  end
end
return swept
