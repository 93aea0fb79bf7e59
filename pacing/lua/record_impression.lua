-- Counts one impression of several campaigns and line items for one user. Follows cap_records.lua.
--
-- KEYS  1 the user's cap records, or the user's link to another: string
-- ARGV  1 now, in minutes since 1970 (UTC)  2 seconds to keep the records  3 most records kept  4.. codes
-- reply how many records are kept; or, where there is a link, the 8 bytes it leads to, and nothing is counted
--
-- A clock behind the one that wrote a record counts into that record's hour.

local now, most = tonumber(ARGV[1]), tonumber(ARGV[3])
local today = math.floor(now / 1440)

local stored = redis.call('GET', KEYS[1]) or ''
if stored == 'forgotten' then return 0 end
if #stored == 9 and string.sub(stored, 1, 1) == 'L' then return string.sub(stored, 2) end

local seen = {}
for index = 4, #ARGV do seen[tonumber(ARGV[index])] = true end

local records = unpack_records(stored, today)
for _, record in ipairs(records) do
  if seen[record.code] then
    seen[record.code] = nil
    local at = math.max(now, record.minute)
    local same_hour = math.floor(at / 60) == math.floor(record.minute / 60)
    record.count_day = record.count_day + 1
    record.count_hour = same_hour and record.count_hour + 1 or 1
    record.minute = at
  end
end
for index = 4, #ARGV do
  local code = tonumber(ARGV[index])
  if seen[code] then
    seen[code] = nil
    records[#records + 1] = {code = code, day = today, count_day = 1, count_hour = 1, minute = now}
  end
end
return store_records(KEYS[1], records, most, ARGV[2])
