-- Reads and writes the cap records of one user. A prelude: its functions are for the script after it.
--
-- A record is 12 bytes, little-endian: code u32, day u16, count of the day u8, count of the hour u8,
-- minute last seen u32 (`pacing.caps.CAP_RECORD`). Its hour is the hour of the minute last seen.
--
-- Invariant: at most one record for a code, none of a day gone by; counts stop at 255. A string that is
-- no whole number of records is read as none.

local LAYOUT, SIZE = '<I4I2BBI4', 12

-- The records of today and later, as tables, in their order.
local function unpack_records(packed, today)
  local records = {}
  if #packed % SIZE ~= 0 then return records end
  for position = 1, #packed, SIZE do
    local code, day, count_day, count_hour, minute = struct.unpack(LAYOUT, packed, position)
    if day >= today then
      records[#records + 1] =
        {code = code, day = day, count_day = count_day, count_hour = count_hour, minute = minute}
    end
  end
  return records
end

-- Stores at most `most` records, those seen last, and returns how many.
local function store_records(key, records, most, seconds)
  local packed = {}
  for index, r in ipairs(records) do
    local count_day, count_hour = math.min(r.count_day, 255), math.min(r.count_hour, 255)
    packed[index] = {r.minute, struct.pack(LAYOUT, r.code, r.day, count_day, count_hour, r.minute)}
  end
  if #packed > most then
    table.sort(packed, function(a, b) return a[1] > b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  end
  local kept = {}
  for index = 1, math.min(#packed, most) do kept[index] = packed[index][2] end
  redis.call('SET', key, table.concat(kept), 'EX', seconds)
  return #kept
end
