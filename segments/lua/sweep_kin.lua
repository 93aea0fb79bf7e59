-- Delete the entries of one bucket of kin whose last link has expired.
--
-- KEYS  1 the bucket's hash: field -> 2 bytes of expiry day, big-endian, then ids
-- ARGV  1 today in 2 bytes, big-endian
-- Reply how many were deleted

local swept = 0
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  if string.sub(entries[i + 1], 1, 2) < ARGV[1] then
    swept = swept + redis.call('HDEL', KEYS[1], entries[i])
  end
end
return swept
