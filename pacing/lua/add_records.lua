-- Adds to a user's cap records those of an id that turned out to be the same user. Follows cap_records.lua.
--
-- KEYS  1 the user's cap records: string
-- ARGV  1 now, in minutes since 1970 (UTC)  2 most rows kept  3 the other id's records, packed
-- reply how many live records had to make room
--
-- Both are moved on to the later minute; then the counts of one code add up.

local today = day_of(tonumber(ARGV[1]))
local stored = redis.call('GET', KEYS[1]) or ''
if stored == 'forgotten' then return 0 end
local records = unpack_records(stored, today)
local by_code = {}
for _, record in ipairs(records) do by_code[record.code] = record end
for _, other in ipairs(unpack_records(ARGV[3], today)) do
  local record = by_code[other.code]
  if not record then
    records[#records + 1] = other
  else
    if record.week or other.week then lengthen(record); lengthen(other) end
    move_on(record, other.minute)
    move_on(other, record.minute)
    record.kept = math.max(record.kept, other.kept)
    record.day, record.hour = record.day + other.day, record.hour + other.hour
    if record.week then
      record.week, record.flight = record.week + other.week, record.flight + other.flight
    end
  end
end
if #records == 0 then return 0 end
return store_records(KEYS[1], records, tonumber(ARGV[2]), today, {})
