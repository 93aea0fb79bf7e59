-- What a campaign delivered, added up by local day and by hour; put in front of the scripts that count.
--
-- days: hash of one local day, `<what>` and `<line item code> <what>` -> a sum
-- hours: hash of the same day, `<second the hour began in> <what>` -> a sum

local function deliver(days, hours, days_kept, hours_kept, hour, line_item, what, amount)
  redis.call('HINCRBY', days, what, amount)
  if line_item ~= '0' then redis.call('HINCRBY', days, line_item .. ' ' .. what, amount) end
  redis.call('HINCRBY', hours, hour .. ' ' .. what, amount)
  redis.call('EXPIRE', days, days_kept)
  redis.call('EXPIRE', hours, hours_kept)
end
