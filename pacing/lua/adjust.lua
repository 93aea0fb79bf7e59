-- Corrects what a campaign has spent, and its line item where one is named, once. Follows limbs.lua.
--
-- KEYS  1 the ledger: hash  2 the line item's own ledger: hash  3 the adjustments: hash, id -> amount
--       4 the bills: stream  5 what each line item of the campaign has spent: hash
-- ARGV  1 the adjustment's id  2 amount, perhaps negative  3 the line item's code, or "" for none
--       4 most adjustments kept  5 entries of the stream  6.. fields and values of its new entry
-- reply 0 done  1 a repeat  2 no such campaign  3 less than nothing would be spent  4 too many adjustments
--       5 more would be spent than there can be money  6 another amount was booked under this id.
--       Above 0 nothing was changed.
--
-- Invariant: spent and `adjusted` grow by the amount together, so spent - adjusted is the sum of the bills.
-- No lease changes: the money comes out of free, or goes back to it.

if redis.call('EXISTS', KEYS[1]) == 0 then return 2 end
local booked = redis.call('HGET', KEYS[3], ARGV[1])
if booked then return booked == ARGV[2] and 1 or 6 end
if redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[4]) then return 4 end

-- The largest amount, `config.money.MONEY_MAX`: the sums stay far from the end of 64 bits.
local MOST = {LIMB, 0}
local taken = minus(NOTHING, limbs(ARGV[2]))

-- What is wrong with correcting a sum: 3 or 5 as above, else 0.
local function fault(sum)
  local after = minus(limbs(sum or '0'), taken)
  if less(after, NOTHING) then return 3 end
  return less(MOST, after) and 5 or 0
end

local found = fault(redis.call('HGET', KEYS[1], 'spent'))
if found == 0 and ARGV[3] ~= '' then found = fault(redis.call('HGET', KEYS[5], ARGV[3])) end
if found ~= 0 then return found end

redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
local ledgers = {KEYS[1]}
if ARGV[3] ~= '' then
  redis.call('HINCRBY', KEYS[5], ARGV[3], ARGV[2])
  if redis.call('EXISTS', KEYS[2]) == 1 then ledgers[2] = KEYS[2] end
end
for _, ledger in ipairs(ledgers) do
  redis.call('HINCRBY', ledger, 'spent', ARGV[2])
  redis.call('HINCRBY', ledger, 'adjusted', ARGV[2])
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', unpack(ARGV, 6))
return 0
