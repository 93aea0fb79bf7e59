-- Note that a partner's id is linked to a person, or that it is no more.
--
-- KEYS  1 the kin of the person's bucket: hash, field -> 2 bytes of expiry day, big-endian, then 8 bytes
--         for each id, the one linked last at the end
-- ARGV  1 the person's field, 2 the id's 8 bytes, 3 the expiry day in 2 bytes; empty: the id is to go,
--       4 how many ids a person may have
-- Reply the 8 bytes of each id that had to make room

local stored = redis.call('HGET', KEYS[1], ARGV[1]) or '\0\0'
local day, ids = string.sub(stored, 1, 2), {}
for at = 3, #stored, 8 do
  local id = string.sub(stored, at, at + 7)
  if id ~= ARGV[2] then ids[#ids + 1] = id end
end
if ARGV[3] ~= '' then
  ids[#ids + 1] = ARGV[2]
  if day < ARGV[3] then day = ARGV[3] end
end
local dropped = {}
while #ids > tonumber(ARGV[4]) do dropped[#dropped + 1] = table.remove(ids, 1) end
if #ids == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], day .. table.concat(ids))
end
return dropped
