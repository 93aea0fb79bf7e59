-- Lists the accounts that were called short in the last seconds, by the server's clock.
--
-- KEYS  1 the short accounts: sorted set, account code -> seconds
-- ARGV  1 seconds that an account stays short
-- reply {account code, ...}

local time = redis.call('TIME')
local since = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.6f', since), '+inf')
