-- Strikes off workers that have been silent for too long, by the server's clock.
--
-- KEYS  1 the workers: sorted set, owner -> seconds
-- ARGV  1 seconds of silence allowed, perhaps with a fraction
-- reply how many were struck off
--
-- Invariant: whoever is not in the set holds no lease that it may still use.

local time = redis.call('TIME')
local silent_since = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[1])
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', silent_since))
