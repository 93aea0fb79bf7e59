-- Leases money of an account to a worker. Follows limbs.lua, day.lua, room.lua and settled.lua.
--
-- KEYS  1 the ledger: hash  2 the leases: hash, owner -> outstanding
--       3 what is settled: hash, second of expiry -> sum of highest prices
-- ARGV  1 owner  2 amount wanted  3 the campaign's local day  4 its highest price
--       5 how many workers are alive  6 the second that its local hour began in
-- reply {outstanding, granted: decimal strings, state, {second of expiry, sum settled, ...}}; state is 1 when
--       the account is recalled, 2 when others hold a lease of it too, else 0
--
-- Invariant: spent + leased + free = total, and leased is the sum of the leases. `free` is not
-- stored. A grant also keeps spent_day + leased within `daily`, spent_hour + leased within `hourly` and
-- spent_day + leased within `ceiling`, where there is one; a ceiling for another day is a ceiling of 0.
-- What is `held` back of total and daily is for bills that come late.
--
-- Granted is what is wanted, at most half of an equal share of what is left among those who hold a lease of
-- the account, so that one worker never drains it; at the end, when that would be less than one bid, at most
-- one bid. Who holds nothing has no bids to make, or will ask.

local owner, wanted, workers = ARGV[1], limbs(ARGV[2]), tonumber(ARGV[5])
local outstanding = redis.call('HGET', KEYS[2], owner) or '0'
if redis.call('EXISTS', KEYS[1]) == 0 then return {outstanding, '0', 0, settled(KEYS[3])} end

local day = turn_day(KEYS[1], tonumber(ARGV[3]))
turn_hour(KEYS[1], tonumber(ARGV[6]))
if recalled(KEYS[1]) == 1 then return {outstanding, '0', 1, settled(KEYS[3])} end

local account = redis.call('HMGET', KEYS[1], 'held', 'ceiling', 'ceiling_day', 'spent_day', 'leased')
local state = less(limbs(outstanding), limbs(account[5])) and 2 or 0
local left = room(KEYS[1], limbs(account[1] or '0'))
if account[2] then
  local ceiling = tonumber(account[3]) == day and limbs(account[2]) or NOTHING
  left = smaller(left, minus(minus(ceiling, limbs(account[4])), limbs(account[5])))
end
if not less(NOTHING, left) then return {outstanding, '0', state, settled(KEYS[3])} end

local holders = redis.call('HLEN', KEYS[2]) + (outstanding == '0' and 1 or 0)
local most = share(left, 2 * math.min(workers, holders))
local granted = smaller(smaller(wanted, left), larger(most, limbs(ARGV[4])))
if not less(NOTHING, granted) then return {outstanding, '0', state, settled(KEYS[3])} end
redis.call('HINCRBY', KEYS[1], 'leased', text(granted))
redis.call('HINCRBY', KEYS[2], owner, text(granted))
return {redis.call('HGET', KEYS[2], owner), text(granted), state, settled(KEYS[3])}
