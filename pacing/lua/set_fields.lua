-- Sets or removes fields of an account that exists: paused, ceiling, ceiling_day, held.
--
-- KEYS  1 the ledger: hash
-- ARGV  field, value, field, value ...; an empty value removes the field
-- reply 1 done  0 no such campaign
--
-- Invariant: an account is opened by register.lua only, so it is never half there.

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for index = 1, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[index])
  else
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
return 1
