-- Take a name away. A former name only goes; with its present name the segment itself goes, and its bit
-- waits among the retired until no cookie can hold it (release_bits.lua).
--
-- KEYS  1 hash name -> bit, 2 hash bit -> JSON of the definition, 3 hash of retired bits -> since when,
--       4 hash bit -> JSON of its last load
-- ARGV  1 the name
-- Reply "unknown", "name" or "segment": what went

local bit = redis.call('HGET', KEYS[1], ARGV[1])
if not bit then return 'unknown' end
if cjson.decode(redis.call('HGET', KEYS[2], bit)).name ~= ARGV[1] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return 'name'
end
local names = redis.call('HGETALL', KEYS[1])
for i = 1, #names, 2 do
  if names[i + 1] == bit then redis.call('HDEL', KEYS[1], names[i]) end
end
redis.call('HDEL', KEYS[2], bit)
redis.call('HDEL', KEYS[4], bit)
redis.call('HSET', KEYS[3], bit, redis.call('TIME')[1])
return 'segment'
