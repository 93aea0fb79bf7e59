-- What of a worker's reservations is settled, put in front of the scripts that tell it its lease.

-- A worker whose message was a while on its way, or whose clock is a bit behind, still has a second in its
-- ring that has passed here; and takes what is not told for forgotten.
local KEPT_SECONDS = 5

-- Returns {second of expiry, sum, ...} and forgets the seconds that have long passed.
local function settled(key)
  local now, live = tonumber(redis.call('TIME')[1]), {}
  local sums = redis.call('HGETALL', key)
  for index = 1, #sums, 2 do
    if tonumber(sums[index]) < now - KEPT_SECONDS then
      redis.call('HDEL', key, sums[index])
    else
      live[#live + 1] = sums[index]
      live[#live + 1] = sums[index + 1]
    end
  end
  return live
end

