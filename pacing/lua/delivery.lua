-- What a campaign delivered, added up by local day and by hour; put in front of the scripts that count.
--
-- days: hash of one local day, `<what>` and `<line item code> <what>` -> a sum
-- hours: hash of the same day, `<second the hour began in> <what>` -> a sum
--
-- Adds to a sum; says whether it is new, for then its key is to be kept from now on.
local function add(key, field, amount, kept)
  local sum = redis.call('HINCRBY', key, field, amount)
  local new = string.format('%.0f', sum) == tostring(amount)
  if new then redis.call('EXPIRE', key, kept) end
  return new
end

-- Returns whether this is the first of the day, for the campaign and for the line item.
local function deliver(days, hours, days_kept, hours_kept, hour, line_item, what, amount)
  local of_item = false
  if line_item ~= '0' then of_item = add(days, line_item .. ' ' .. what, amount, days_kept) end
  add(hours, hour .. ' ' .. what, amount, hours_kept)
  return add(days, what, amount, days_kept), of_item
end
