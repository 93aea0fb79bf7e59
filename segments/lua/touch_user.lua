-- Put one user into segments that each last for some days.
--
-- KEYS  1 the bucket's hash
-- ARGV  1 today, days since 1970-01-01, 2 the user's field, 3 most bits with a day of their own,
--       then bit and last day alternating
-- Reply 1, or 0 when the person is forgotten and nothing was written

local today, field, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local user = read_user(redis.call('HGET', KEYS[1], field), redis.call('HGET', DAYS_KEY, field), today)
if user.forgotten > 0 then return 0 end
for i = 4, #ARGV, 2 do
  local index = tonumber(ARGV[i])
  clear_bit(user.words, index)
  user.days[index] = math.max(user.days[index] or 0, tonumber(ARGV[i + 1]))
end
keep_latest(user, most)
write_user(KEYS[1], DAYS_KEY, field, user)
return 1
