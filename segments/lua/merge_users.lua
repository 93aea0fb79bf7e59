-- Change some segments of users of one bucket and leave their others.
--
-- KEYS  1 the bucket's hash
-- ARGV  1 today, days since 1970-01-01, 2 the last day of what is set, or 0: nobody lives longer for this,
--       3 a bitset to clear for everyone, then for each user: field, bitset to clear, bitset to set
-- Reply how many users are not as they were
--
-- A cookie lives as long as the latest loader said. When nothing is left of the others' bits, that is this
-- one's day, be it earlier. A bit cleared or set here has no day of its own any more.

local today, day, common = tonumber(ARGV[1]), tonumber(ARGV[2]), unpack_words(ARGV[3])
local any_record = redis.call('EXISTS', DAYS_KEY) == 1
local changed = 0
for i = 4, #ARGV, 3 do
  local field = ARGV[i]
  local value = redis.call('HGET', KEYS[1], field)
  local record = any_record and redis.call('HGET', DAYS_KEY, field)
  local user = read_user(value, record, today)
  local clear, set = unpack_words(ARGV[i + 1]), unpack_words(ARGV[i + 2])
  clear_words(user.words, common)
  clear_words(user.words, clear)
  for index, _ in pairs(user.days) do
    if has_bit(common, index) or has_bit(clear, index) or has_bit(set, index) then user.days[index] = nil end
  end
  if day > 0 then
    user.base = any_word(user.words) and math.max(user.base, day) or day
    add_words(user.words, set)
  end
  if record then
    write_user(KEYS[1], DAYS_KEY, field, user)
    if redis.call('HGET', KEYS[1], field) ~= value then changed = changed + 1 end
  elseif user.base > 0 then
    local fresh = struct.pack('>I2', user.base) .. pack_words(user.words)
    if fresh ~= value then
      redis.call('HSET', KEYS[1], field, fresh)
      changed = changed + 1
    end
  end
end
return changed
