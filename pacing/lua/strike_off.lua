-- Strikes off workers that have been silent for too long, by the server's clock.
--
-- KEYS  1 the workers: sorted set, owner -> seconds
-- ARGV  1 seconds of silence allowed
-- reply how many were struck off
--
-- Invariant: whoever is not in the set holds no lease that it may still use.

local silent_since = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. silent_since)
