-- Strikes off workers that have been silent for too long.
--
-- KEYS  1 the workers: sorted set, owner -> seconds
-- ARGV  owner, beat, owner, beat ...: each worker's last heartbeat as whoever calls has known it for too long
-- reply how many were struck off
--
-- Invariant: whoever is not in the set holds no lease that it may still use. No clock is asked: a worker that
-- has beaten since, whatever time that beat says, stays.

local gone = 0
for index = 1, #ARGV, 2 do
  local beat = redis.call('ZSCORE', KEYS[1], ARGV[index])
  if beat and tonumber(beat) == tonumber(ARGV[index + 1]) then
    gone = gone + redis.call('ZREM', KEYS[1], ARGV[index])
  end
end
return gone
