-- Calls accounts short, by the server's clock.
--
-- KEYS  1 the short accounts: sorted set, account code -> seconds
-- ARGV  1 seconds that an account stays short  2 the most accounts  3.. account codes
-- reply nothing
--
-- Invariant: of more than the most, the ones called last are kept.

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
for index = 3, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[index])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - tonumber(ARGV[1])))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[2]) - 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return false
