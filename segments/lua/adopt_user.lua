-- Add to a user's segments those of an id that turned out to be the same user.
--
-- KEYS  1 the bucket's hash
-- ARGV  1 today, days since 1970-01-01, 2 the user's field, 3 most bits with a day of their own,
--       4 the id's value, 5 its day record, or an empty string
-- Reply 1, or 0 when the person is forgotten and nothing was written
--
-- The user lives as long as the one of the two who lives longer, and a bit to the later of its days.

local today, field, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local user = read_user(redis.call('HGET', KEYS[1], field), redis.call('HGET', DAYS_KEY, field), today)
if user.forgotten > 0 then return 0 end
local other = read_user(ARGV[4], ARGV[5] ~= '' and ARGV[5] or false, today)
add_words(user.words, other.words)
user.base = math.max(user.base, other.base)
for index, day in pairs(other.days) do user.days[index] = math.max(user.days[index] or 0, day) end
for index, day in pairs(user.days) do
  if has_bit(user.words, index) then
    if day > user.base then clear_bit(user.words, index) else user.days[index] = nil end
  end
end
keep_latest(user, most)
write_user(KEYS[1], DAYS_KEY, field, user)
return 1
