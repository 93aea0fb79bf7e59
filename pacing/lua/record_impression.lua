-- Counts one impression of several campaigns and line items for one user. Follows cap_records.lua.
--
-- KEYS  1 the user's cap records, or the user's link to another: string
-- ARGV  1 now, in minutes since 1970 (UTC)  2 most rows kept
--       3.. for each code: the code, the day it is kept through, 1 to count the week and the flight too, the
--       minute the flight began
-- reply how many live records had to make room; or, where there is a link, the 8 bytes it leads to, and
--       nothing is counted
--
-- A clock behind the one that wrote a record counts into that record's hour, day and week.

local now, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local today = day_of(now)

local stored = redis.call('GET', KEYS[1]) or ''
if stored == 'forgotten' then return 0 end
if #stored == 9 and string.sub(stored, 1, 1) == 'L' then return string.sub(stored, 2) end

local records, by_code, shown = unpack_records(stored, today), {}, {}
for _, record in ipairs(records) do by_code[record.code] = record end
for index = 3, #ARGV, 4 do
  local code, kept = tonumber(ARGV[index]), tonumber(ARGV[index + 1])
  local long, began = ARGV[index + 2] == '1', tonumber(ARGV[index + 3])
  if not shown[code] then
    shown[code] = true
    local record = by_code[code]
    if not record then
      record = {code = code, kept = kept, day = 0, hour = 0, minute = now}
      records[#records + 1] = record
    end
    if long then lengthen(record) end
    -- What was seen before the flight began belongs to an earlier one.
    if record.week and record.minute < began then record.flight = 0 end
    move_on(record, now)
    record.kept = math.max(record.kept, kept)
    record.day, record.hour = record.day + 1, record.hour + 1
    if record.week then record.week, record.flight = record.week + 1, record.flight + 1 end
  end
end
return store_records(KEYS[1], records, most, today, shown)
