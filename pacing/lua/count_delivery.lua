-- Counts what happened to a campaign's bids, and whom it reached. Follows delivery.lua.
--
-- KEYS  1 the sums of the local day: hash  2 of its hours: hash
--       3 the people the campaign reached, 4 its line item: HyperLogLogs
--       5 how often the sampled people were reached: hash, a person's rank -> times
-- ARGV  1 seconds KEYS[1] is kept, and KEYS[3] to [5]  2 seconds KEYS[2] is kept
--       3 the second that the local hour began in  4 the line item's code, 0 for none
--       5 what happened  6 how often
--       7 the person's hash, empty for nobody  8 the person's rank, a number below 2^48
--       9 people in the sample
--
-- Invariant: the sample is the people of the smallest ranks, and for each of them every time is counted:
-- whoever is among the smallest now was so at the first time. `full` is the largest rank of a full sample.

local person, rank, most = ARGV[7], ARGV[8], tonumber(ARGV[9])

local function sample()
  if redis.call('HEXISTS', KEYS[5], rank) == 1 then
    redis.call('HINCRBY', KEYS[5], rank, 1)
    return
  end
  local largest = tonumber(redis.call('HGET', KEYS[5], 'full'))
  if largest and tonumber(rank) > largest then return end
  redis.call('HSET', KEYS[5], rank, 1)
  local fields = redis.call('HKEYS', KEYS[5])
  local first, second, people = -1, -1, 0
  for _, field in ipairs(fields) do
    local number = tonumber(field)
    if number then
      people = people + 1
      if number > first then
        first, second = number, first
      elseif number > second then
        second = number
      end
    end
  end
  if people > most then
    redis.call('HDEL', KEYS[5], string.format('%.0f', first))
    redis.call('HSET', KEYS[5], 'full', string.format('%.0f', second))
  end
end

deliver(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
if person ~= '' then
  redis.call('PFADD', KEYS[3], person)
  redis.call('PFADD', KEYS[4], person)
  sample()
  -- Once a day is often enough to keep them.
  local first, first_of_item =
    deliver(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'recognised', ARGV[6])
  if first then
    redis.call('EXPIRE', KEYS[3], ARGV[1])
    redis.call('EXPIRE', KEYS[5], ARGV[1])
  end
  if first_of_item then redis.call('EXPIRE', KEYS[4], ARGV[1]) end
end
return 1
