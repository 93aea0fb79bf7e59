-- Reads and writes the cap records of one user. A prelude: its functions are for the script after it.
--
-- A row is 12 bytes, little-endian: code u32, day u16, u8, u8, u32 (`pacing.caps` draws it). A record is one
-- row: the day it is kept through, the counts of the day and the hour, the minute last seen; the day, hour
-- and week of the counts are those of that minute. A record with a week's and a flight's count has a
-- second row: the same code, day 0, the week's count in the two bytes, the flight's count.
--
-- Invariant: at most one record for a code, none that is kept no longer; counts stop where their bytes end.
-- A string that is no whole number of rows is read as none.

local LAYOUT, LONG_LAYOUT, SIZE = '<I4I2BBI4', '<I4I2I2I4', 12
local DAY_MINUTES, HOUR_MINUTES = 1440, 60

local function day_of(minute) return math.floor(minute / DAY_MINUTES) end
local function hour_of(minute) return math.floor(minute / HOUR_MINUTES) end
-- 1970-01-01 was a Thursday, and a week begins on Monday.
local function week_of(minute) return math.floor((day_of(minute) + 3) / 7) end

-- The records kept through today or longer, as tables, in their order.
local function unpack_records(packed, today)
  local records = {}
  if #packed % SIZE ~= 0 then return records end
  local last
  for position = 1, #packed, SIZE do
    local code, kept, count_day, count_hour, minute = struct.unpack(LAYOUT, packed, position)
    if kept == 0 then
      local _, _, count_week, count_flight = struct.unpack(LONG_LAYOUT, packed, position)
      if last and last.code == code then last.week, last.flight = count_week, count_flight end
      last = nil
    else
      last = {code = code, kept = kept, day = count_day, hour = count_hour, minute = minute}
      if kept >= today then records[#records + 1] = last end
    end
  end
  return records
end

-- Gives a record the counts of a week and a flight; what it knows of them is what it saw on its last day.
local function lengthen(record)
  if not record.week then record.week, record.flight = record.day, record.day end
end

-- Moves a record's counts on to a minute: what is of an earlier hour, day or week counts no more.
local function move_on(record, minute)
  if minute <= record.minute then return end
  if hour_of(minute) ~= hour_of(record.minute) then record.hour = 0 end
  if day_of(minute) ~= day_of(record.minute) then record.day = 0 end
  if record.week and week_of(minute) ~= week_of(record.minute) then record.week = 0 end
  record.minute = minute
end

-- Stores the records, at most `most` rows of them, and returns how many found no room. Those of the codes in
-- `shown` stay; then those that are kept longest; then those seen last.
local function store_records(key, records, most, today, shown)
  local rows = 0
  for _, r in ipairs(records) do rows = rows + (r.week and 2 or 1) end
  if rows > most then
    table.sort(records, function(a, b)
      local a_shown, b_shown = shown[a.code] or false, shown[b.code] or false
      if a_shown ~= b_shown then return a_shown end
      if a.kept ~= b.kept then return a.kept > b.kept end
      if a.minute ~= b.minute then return a.minute > b.minute end
      return a.code < b.code
    end)
  end
  local packed, used, last_day, dropped = {}, 0, today, 0
  for _, r in ipairs(records) do
    local size = r.week and 2 or 1
    if used + size > most then
      dropped = dropped + 1
    else
      used, last_day = used + size, math.max(last_day, r.kept)
      packed[#packed + 1] =
        struct.pack(LAYOUT, r.code, r.kept, math.min(r.day, 255), math.min(r.hour, 255), r.minute)
      if r.week then
        packed[#packed + 1] = struct.pack(
          LONG_LAYOUT, r.code, 0, math.min(r.week, 65535), math.min(r.flight, 4294967295))
      end
    end
  end
  -- To the end of the last day; the rest allows for clocks that disagree.
  redis.call('SET', key, table.concat(packed), 'EX', (last_day - today + 2) * 86400)
  return dropped
end
