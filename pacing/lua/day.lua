-- The turn of a campaign's local day and hour, put in front of the scripts that spend or grant.
-- A later one starts with nothing spent; an earlier one (a notice on its way at midnight, a slow
-- clock) counts into the one that is under way.

local function turn(ledger, period, spent, now)
  local under_way = tonumber(redis.call('HGET', ledger, period)) or 0
  if now <= under_way then return under_way end
  redis.call('HSET', ledger, period, now, spent, '0')
  return now
end

local function turn_day(ledger, day) return turn(ledger, 'day', 'spent_day', day) end

local function turn_hour(ledger, hour) return turn(ledger, 'hour', 'spent_hour', hour) end
