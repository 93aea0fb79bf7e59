-- Take from one bucket what is over: users, bits with a day of their own, and bits that are nobody's.
--
-- KEYS  1 the bucket's hash
-- ARGV  1 today, days since 1970-01-01, 2 a bitset: the bits to take from everyone
-- Reply {users deleted, users who lost a bit and stay}

local today, common = tonumber(ARGV[1]), unpack_words(ARGV[2])
local clears = any_word(common)
local deleted, changed = 0, 0
local records = {}
local listed = redis.call('HGETALL', DAYS_KEY)
for i = 1, #listed, 2 do records[listed[i]] = listed[i + 1] end

local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local field, value = entries[i], entries[i + 1]
  local record = records[field]
  if #value < 2 or (day_of(value) < today and not record) then
    redis.call('HDEL', KEYS[1], field)
    deleted = deleted + 1
  elseif record or clears then
    records[field] = nil
    local user = read_user(value, record, today)
    clear_words(user.words, common)
    for index, _ in pairs(user.days) do
      if has_bit(common, index) then user.days[index] = nil end
    end
    write_user(KEYS[1], DAYS_KEY, field, user)
    local now = redis.call('HGET', KEYS[1], field)
    if not now then
      deleted = deleted + 1
    elseif now ~= value then
      changed = changed + 1
    end
  end
end

-- Records of nobody in the bucket: the marks of those forgotten.
for field, record in pairs(records) do
  write_user(KEYS[1], DAYS_KEY, field, read_user(false, record, today))
end
return {deleted, changed}
