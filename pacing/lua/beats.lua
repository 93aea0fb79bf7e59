-- Lists the workers with the time of each one's last heartbeat, and what time it is now.
--
-- KEYS  1 the workers: sorted set, owner -> seconds
-- reply {now: whole seconds, owner, seconds, owner, seconds ...}
--
-- Invariant: one clock tells both times; on a Cluster every node has its own.

local reply = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
table.insert(reply, 1, tonumber(redis.call('TIME')[1]))
return reply
