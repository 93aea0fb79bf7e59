-- What of a worker's reservations is settled, put in front of the scripts that tell it its lease.

-- Returns {second of expiry, sum, ...} and forgets the seconds that have passed.
local function settled(key)
  local now, live = tonumber(redis.call('TIME')[1]), {}
  local sums = redis.call('HGETALL', key)
  for index = 1, #sums, 2 do
    if tonumber(sums[index]) < now then
      redis.call('HDEL', key, sums[index])
    else
      live[#live + 1] = sums[index]
      live[#live + 1] = sums[index + 1]
    end
  end
  return live
end

