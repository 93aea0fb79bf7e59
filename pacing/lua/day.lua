-- The turn of a campaign's local day, put in front of the scripts that spend or grant.
-- A later day starts with nothing spent; an earlier one (a notice on its way at midnight, a slow
-- clock) counts into the day that is under way.

local function turn_day(ledger, day)
  local under_way = tonumber(redis.call('HGET', ledger, 'day'))
  if day <= under_way then return under_way end
  redis.call('HSET', ledger, 'day', day, 'spent_day', '0')
  return day
end
