-- Delete a user of one bucket, and mark the person as forgotten for the events still on their way.
--
-- KEYS  1 the bucket's hash
-- ARGV  1 the user's field, 2 the last day of the mark, days since 1970-01-01
-- Reply {1 if segments were held, 1 if days of bits were}

local record = redis.call('HGET', DAYS_KEY, ARGV[1])
local held = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', DAYS_KEY, ARGV[1], struct.pack('<I2I2', FORGOTTEN, tonumber(ARGV[2])))
local only_mark = not record or (#record == 4 and struct.unpack('<I2', record) == FORGOTTEN)
return {held, only_mark and 0 or 1}
