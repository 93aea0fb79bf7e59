-- Give a segment another name; the one it had stays good, as another name of the same bit.
--
-- KEYS  1 hash name -> bit, 2 hash bit -> JSON of the definition
-- ARGV  1 a name it has, 2 its new name
-- Reply "ok", "unknown" or "taken" (the new name is another segment's)

local bit = redis.call('HGET', KEYS[1], ARGV[1])
if not bit then return 'unknown' end
local taken = redis.call('HGET', KEYS[1], ARGV[2])
if taken and taken ~= bit then return 'taken' end
local definition = cjson.decode(redis.call('HGET', KEYS[2], bit))
definition.name = ARGV[2]
redis.call('HSET', KEYS[1], ARGV[2], bit)
redis.call('HSET', KEYS[2], bit, cjson.encode(definition))
return 'ok'
