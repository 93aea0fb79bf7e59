-- A user's value and day record as tables, and back: the beginning of the scripts that change them.
--
-- The value (`segments.bitsets`) is two bytes of day, big-endian, and the bitset, little-endian, without the
-- zero bytes at its end. The day record (`segments.bit_days`) is pairs of bit and last day, two bytes
-- each, little-endian; BASE stands for every bit that the record does not name, FORGOTTEN for the person.

-- A bucket's day records are in a hash of the same cluster slot, so its key need not be sent with each call.
local DAYS_KEY = '{' .. KEYS[1] .. '}:d'
local BASE, FORGOTTEN = 65535, 65534

local function unpack_words(bytes)
  bytes = bytes .. string.rep('\0', -#bytes % 4)
  local n = #bytes / 4
  if n == 0 then return {} end
  local words = {struct.unpack('<' .. string.rep('I4', n), bytes)}
  words[n + 1] = nil
  return words
end

local function pack_words(words)
  local n = #words
  while n > 0 and words[n] == 0 do n = n - 1 end
  if n == 0 then return '' end
  local bytes = struct.pack('<' .. string.rep('I4', n), unpack(words, 1, n))
  local last = #bytes
  while string.byte(bytes, last) == 0 do last = last - 1 end
  return string.sub(bytes, 1, last)
end

local function day_of(value)
  local high, low = string.byte(value, 1, 2)
  return high * 256 + low
end

local function has_bit(words, bit_index)
  local word = words[math.floor(bit_index / 32) + 1]
  return word ~= nil and bit.band(word, bit.lshift(1, bit_index % 32)) ~= 0
end

local function set_bit(words, bit_index)
  local at = math.floor(bit_index / 32) + 1
  for i = #words + 1, at do words[i] = 0 end
  words[at] = bit.bor(words[at], bit.lshift(1, bit_index % 32))
end

local function clear_bit(words, bit_index)
  local at = math.floor(bit_index / 32) + 1
  if words[at] then words[at] = bit.band(words[at], bit.bnot(bit.lshift(1, bit_index % 32))) end
end

-- words minus the bits of `others`
local function clear_words(words, others)
  for i = 1, math.min(#words, #others) do words[i] = bit.band(words[i], bit.bnot(others[i])) end
end

local function add_words(words, others)
  for i = #words + 1, #others do words[i] = 0 end
  for i = 1, #others do words[i] = bit.bor(words[i], others[i]) end
end

local function any_word(words)
  for i = 1, #words do
    if words[i] ~= 0 then return true end
  end
  return false
end

-- What is good today: the bits with the base's day, those with a day of their own (bit -> day), the
-- base's day (0: none) and the day to which the person is forgotten (0: not).
local function read_user(value, record, today)
  local user = {words = {}, days = {}, base = 0, forgotten = 0}
  local live = value and day_of(value) >= today
  if live then
    user.words = unpack_words(string.sub(value, 3))
    user.base = day_of(value)
  end
  if record then
    user.base = 0
    for position = 1, #record, 4 do
      local index, day = struct.unpack('<I2I2', record, position)
      if index == FORGOTTEN then
        if day >= today then user.forgotten = day end
      elseif index == BASE then
        if live then user.base = day end
      elseif live and has_bit(user.words, index) then
        clear_bit(user.words, index)
        if day >= today then user.days[index] = day end
      end
    end
    if live and user.base == 0 and next(user.days) == nil then user.base = day_of(value) end
    if user.base < today then
      user.base, user.words = 0, {}
    end
  end
  return user
end

-- Of the bits with a day of their own keep at most so many: those that end first make room.
local function keep_latest(user, most)
  local indices = {}
  for index, _ in pairs(user.days) do indices[#indices + 1] = index end
  table.sort(indices, function(a, b)
    local x, y = user.days[a], user.days[b]
    return x > y or (x == y and a < b)
  end)
  for i = most + 1, #indices do user.days[indices[i]] = nil end
end

-- Write a user as `read_user` reads it; with no day left the value goes.
local function write_user(bucket_key, days_key, field, user)
  local pairs_of_record = {}
  if user.forgotten > 0 then
    pairs_of_record[1] = struct.pack('<I2I2', FORGOTTEN, user.forgotten)
  end
  local last, words = user.base, user.words
  if next(user.days) ~= nil then
    words = {unpack(words)}
    pairs_of_record[#pairs_of_record + 1] = struct.pack('<I2I2', BASE, user.base)
    for index, day in pairs(user.days) do
      set_bit(words, index)
      last = math.max(last, day)
      pairs_of_record[#pairs_of_record + 1] = struct.pack('<I2I2', index, day)
    end
  end
  if #pairs_of_record > 0 then
    redis.call('HSET', days_key, field, table.concat(pairs_of_record))
  else
    redis.call('HDEL', days_key, field)
  end
  if last == 0 then
    redis.call('HDEL', bucket_key, field)
  else
    redis.call('HSET', bucket_key, field, struct.pack('>I2', last) .. pack_words(words))
  end
end
