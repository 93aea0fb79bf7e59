-- Charges one bill to a campaign and to its line item, once. Follows limbs.lua, day.lua and delivery.lua.
--
-- KEYS  1 the ledger: hash  2 the leases: hash, owner -> outstanding
--       3 what is settled: hash, second of expiry -> sum of highest prices
--       4, 5, 6 the same of the line item's own budget, if it has one
--       7 the seen bits: bit string  8 the bills: stream
--       9 what each line item of the campaign has spent: hash
--       10 what the campaign delivered on the bid's local day: hash  11 in the hours of that day: hash
-- ARGV  1 owner  2 the bid's bit  3 price  4 the highest price the bid allows  5 local day
--       6 the minute of the bid  7 seconds after it that a notice is taken  8 seconds a bit is kept
--       9 the second that the bid's reservation expires in  10 seconds that KEYS[3] is kept
--       11 the second that the local hour of the bid began in  12 the line item's code, 0 for none
--       13 "1" when the bid was reserved from the line item's own budget too
--       14 seconds KEYS[10] is kept  15 seconds KEYS[11] is kept
--       16 entries of the stream  17.. fields and values of its new entry
-- reply 0 settled  1 late: settled, and part of it was in no lease  2 a repeat  3 overpriced
--       4 no such campaign. Above 1 nothing was booked. Too old to tell from a repeat is a repeat.
--
-- Invariant: spent grows by the price, and the lease shrinks by the price as far as it reaches. What
-- it does not cover comes out of free, which may go negative, and is added to `late`. The bit
-- outlives the time in which a notice is taken, so no bill is ever charged twice. The sums of KEYS[3]
-- only grow: a worker that reads one twice frees a reservation once. A bid made while its line item had no
-- budget of its own was not reserved from it: it is charged there, and frees nothing.
-- A bill whose reservation had expired is added to `overdue`, wherever its money came from.

-- Where the key is no account at all, this is the call that fails: before the bit is set.
if redis.call('HEXISTS', KEYS[1], 'id') == 0 then return 4 end
local price = limbs(ARGV[3])
if less(limbs(ARGV[4]), price) then return 3 end
local now = tonumber(redis.call('TIME')[1])
if now >= tonumber(ARGV[6]) * 60 + tonumber(ARGV[7]) then return 2 end
if redis.call('SETBIT', KEYS[7], ARGV[2], 1) == 1 then return 2 end
redis.call('EXPIRE', KEYS[7], ARGV[8])

-- Charges one account; returns 1 when part of it was in no lease, else 0.
local function charge(ledger, leases, settled, reserved)
  turn_day(ledger, tonumber(ARGV[5]))
  turn_hour(ledger, tonumber(ARGV[11]))
  for _, field in ipairs({'spent', 'spent_day', 'spent_hour'}) do
    redis.call('HINCRBY', ledger, field, ARGV[3])
  end
  if now > tonumber(ARGV[9]) then redis.call('HINCRBY', ledger, 'overdue', ARGV[3]) end

  local covered = NOTHING
  if reserved then
    redis.call('HINCRBY', settled, ARGV[9], ARGV[4])
    redis.call('EXPIRE', settled, ARGV[10])
    local lease = limbs(redis.call('HGET', leases, ARGV[1]) or '0')
    covered = smaller(price, lease)
    if less(NOTHING, covered) then
      redis.call('HINCRBY', ledger, 'leased', '-' .. text(covered))
      redis.call('HINCRBY', leases, ARGV[1], '-' .. text(covered))
      if not less(covered, lease) then redis.call('HDEL', leases, ARGV[1]) end
    end
  end
  if not less(covered, price) then return 0 end
  redis.call('HINCRBY', ledger, 'late', text(minus(price, covered)))
  return 1
end

local late = charge(KEYS[1], KEYS[2], KEYS[3], true)
if ARGV[12] ~= '0' then
  redis.call('HINCRBY', KEYS[9], ARGV[12], ARGV[3])
  if redis.call('EXISTS', KEYS[4]) == 1 then charge(KEYS[4], KEYS[5], KEYS[6], ARGV[13] == '1') end
end
for what, amount in pairs({spent = ARGV[3], offered = ARGV[4], bills = 1}) do
  deliver(KEYS[10], KEYS[11], ARGV[14], ARGV[15], ARGV[11], ARGV[12], what, amount)
end
redis.call('XADD', KEYS[8], 'MAXLEN', '~', ARGV[16], '*', unpack(ARGV, 17))
return late
