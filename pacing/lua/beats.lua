-- Lists the workers with the time of each one's last heartbeat, and what time it is now.
--
-- KEYS  1 the workers: sorted set, owner -> seconds
-- reply {now: seconds, owner, seconds, owner, seconds ...}: decimal strings
--
-- Invariant: one clock tells both times; on a Cluster every node has its own.

local reply = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local time = redis.call('TIME')
table.insert(reply, 1, string.format('%d.%06d', time[1], time[2]))
return reply
