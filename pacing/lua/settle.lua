-- Charges one bill to a campaign, once. Follows limbs.lua and day.lua.
--
-- KEYS  1 the ledger: hash  2 the leases: hash, owner -> outstanding  3 the seen bits: bit string
--       4 the bills: stream  5 what is settled: hash, second of expiry -> sum of highest prices
-- ARGV  1 owner  2 the bid's bit  3 price  4 the highest price the bid allows  5 local day
--       6 the minute of the bid  7 seconds after it that a notice is taken  8 seconds a bit is kept
--       9 the second that the bid's reservation expires in  10 seconds KEYS[5] is kept
--       11 entries of the stream  12.. fields and values of its new entry
-- reply 0 settled  1 late: settled, and part of it was in no lease  2 a repeat  3 overpriced
--       4 no such campaign. Above 1 nothing was booked. Too old to tell from a repeat is a repeat.
--
-- Invariant: spent grows by the price, and the lease shrinks by the price as far as it reaches. What
-- it does not cover comes out of free, which may go negative, and is added to `late`. The bit
-- outlives the time in which a notice is taken, so no bill is ever charged twice. The sums of KEYS[5]
-- only grow: a worker that reads one twice frees a reservation once.

if redis.call('EXISTS', KEYS[1]) == 0 then return 4 end
local price = limbs(ARGV[3])
if less(limbs(ARGV[4]), price) then return 3 end
if tonumber(redis.call('TIME')[1]) >= tonumber(ARGV[6]) * 60 + tonumber(ARGV[7]) then return 2 end
if redis.call('SETBIT', KEYS[3], ARGV[2], 1) == 1 then return 2 end
redis.call('EXPIRE', KEYS[3], ARGV[8])

redis.call('HINCRBY', KEYS[5], ARGV[9], ARGV[4])
redis.call('EXPIRE', KEYS[5], ARGV[10])

turn_day(KEYS[1], tonumber(ARGV[5]))
redis.call('HINCRBY', KEYS[1], 'spent', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'spent_day', ARGV[3])

local lease = limbs(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local covered = smaller(price, lease)
if less(NOTHING, covered) then
  redis.call('HINCRBY', KEYS[1], 'leased', '-' .. text(covered))
  redis.call('HINCRBY', KEYS[2], ARGV[1], '-' .. text(covered))
  if not less(covered, lease) then redis.call('HDEL', KEYS[2], ARGV[1]) end
end

redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[11], '*', unpack(ARGV, 12))
if less(covered, price) then
  redis.call('HINCRBY', KEYS[1], 'late', text(minus(price, covered)))
  return 1
end
return 0
