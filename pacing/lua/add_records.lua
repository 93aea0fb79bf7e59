-- Adds to a user's cap records those of an id that turned out to be the same user. Follows cap_records.lua.
--
-- KEYS  1 the user's cap records: string
-- ARGV  1 now, in minutes since 1970 (UTC)  2 seconds to keep the records  3 most records kept
--       4 the other id's records, packed
-- reply how many records are kept
--
-- Of one code and day the counts add up; so do those of one hour, and of two hours the later one counts.

local today = math.floor(tonumber(ARGV[1]) / 1440)
local stored = redis.call('GET', KEYS[1]) or ''
if stored == 'forgotten' then return 0 end
local records = unpack_records(stored, today)
local by_code = {}
for _, record in ipairs(records) do by_code[record.code] = record end
for _, other in ipairs(unpack_records(ARGV[4], today)) do
  local record = by_code[other.code]
  if not record then
    records[#records + 1] = other
  elseif record.day == other.day then
    local hour, other_hour = math.floor(record.minute / 60), math.floor(other.minute / 60)
    if hour == other_hour then
      record.count_hour = record.count_hour + other.count_hour
    elseif hour < other_hour then
      record.count_hour = other.count_hour
    end
    record.count_day = record.count_day + other.count_day
    record.minute = math.max(record.minute, other.minute)
  elseif record.day < other.day then
    for field, value in pairs(other) do record[field] = value end
  end
end
if #records == 0 then return 0 end
return store_records(KEYS[1], records, tonumber(ARGV[3]), ARGV[2])
