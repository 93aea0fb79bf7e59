-- Counts one impression of several campaigns and line items for one user.
--
-- KEYS  1 the user's cap records: string
-- ARGV  1 now, in minutes since 1970 (UTC)  2 seconds to keep the records  3 most records kept  4.. codes
-- reply how many records are kept
--
-- A record is 12 bytes, little-endian: code u32, day u16, count of the day u8, count of the hour u8,
-- minute last seen u32 (`pacing.caps.CAP_RECORD`). Its hour is the hour of the minute last seen.
--
-- Invariant: at most one record for a code, none of a day gone by; counts stop at 255. A clock behind
-- the one that wrote a record counts into that record's hour. A string that is no whole number of
-- records is dropped.

local LAYOUT, SIZE = '<I4I2BBI4', 12
local now, most = tonumber(ARGV[1]), tonumber(ARGV[3])
local today = math.floor(now / 1440)

local stored = redis.call('GET', KEYS[1]) or ''
if #stored % SIZE ~= 0 then stored = '' end

local seen = {}
for index = 4, #ARGV do seen[tonumber(ARGV[index])] = true end

local records = {}
local function keep(code, day, count_day, count_hour, minute)
  records[#records + 1] = {minute, struct.pack(LAYOUT, code, day, count_day, count_hour, minute)}
end

for position = 1, #stored, SIZE do
  local code, day, count_day, count_hour, minute = struct.unpack(LAYOUT, stored, position)
  if day >= today then
    if seen[code] then
      seen[code] = nil
      local at = math.max(now, minute)
      local same_hour = math.floor(at / 60) == math.floor(minute / 60)
      keep(code, day, math.min(count_day + 1, 255), same_hour and math.min(count_hour + 1, 255) or 1, at)
    else
      keep(code, day, count_day, count_hour, minute)
    end
  end
end
for index = 4, #ARGV do
  local code = tonumber(ARGV[index])
  if seen[code] then
    seen[code] = nil
    keep(code, today, 1, 1, now)
  end
end

if #records > most then
  table.sort(records, function(a, b) return a[1] > b[1] or (a[1] == b[1] and a[2] < b[2]) end)
end
local packed = {}
for index = 1, math.min(#records, most) do packed[index] = records[index][2] end
redis.call('SET', KEYS[1], table.concat(packed), 'EX', ARGV[2])
return #packed
