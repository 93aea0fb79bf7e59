-- Notes that a worker is alive, by the server's clock.
--
-- KEYS  1 the workers: sorted set, owner -> seconds
-- ARGV  1 owner  2 "join" for a new owner, else "beat"
-- reply how many workers are alive; or 0 when this one is no longer among them, or would join under a number
--       that another has
--
-- Invariant: an owner that was struck off never comes back; its leases are not its any more.

local listed = redis.call('ZSCORE', KEYS[1], ARGV[1]) and true or false
if listed ~= (ARGV[2] == 'beat') then return 0 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%d.%06d', time[1], time[2]), ARGV[1])
return redis.call('ZCARD', KEYS[1])
