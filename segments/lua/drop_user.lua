-- Delete a user's segments, if they are still these.
--
-- KEYS  1 the bucket's hash
-- ARGV  1 the user's field, 2 the value, 3 the day record, or an empty string
-- Reply 1 when they were

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if (redis.call('HGET', DAYS_KEY, ARGV[1]) or '') ~= ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', DAYS_KEY, ARGV[1])
return 1
