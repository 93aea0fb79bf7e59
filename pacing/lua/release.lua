-- Takes leased money back into what is free. Follows limbs.lua, room.lua and settled.lua.
--
-- KEYS  1 the ledger: hash  2 the leases: hash, owner -> outstanding  3 the returns: hash, owner -> total
--       4 what is settled: hash, second of expiry -> sum of highest prices
-- ARGV  1 owner  2 all that the owner has ever given back, this time included; or "all" to end its lease
-- reply {outstanding, '0': decimal strings, recalled: 0 or 1, {second of expiry, sum settled, ...}}
--
-- Invariant: leased is the sum of the leases; no lease is negative. Because an owner sends its
-- running total, a message that arrives twice or overtaken by a later one takes nothing: the total
-- only grows. With nothing new to give back, this is how a worker reads its lease.

local owner = ARGV[1]
local lease = limbs(redis.call('HGET', KEYS[2], owner) or '0')

local released = NOTHING
if ARGV[2] == 'all' then
  redis.call('HDEL', KEYS[3], owner)
  released = lease
else
  local before, total = limbs(redis.call('HGET', KEYS[3], owner) or '0'), limbs(ARGV[2])
  if less(before, total) then
    -- Noted even where a late bill has taken the money already: it must not be taken twice.
    redis.call('HSET', KEYS[3], owner, ARGV[2])
    released = smaller(minus(total, before), lease)
  end
end

if less(NOTHING, released) then
  redis.call('HINCRBY', KEYS[1], 'leased', '-' .. text(released))
  redis.call('HINCRBY', KEYS[2], owner, '-' .. text(released))
  if redis.call('HGET', KEYS[2], owner) == '0' then redis.call('HDEL', KEYS[2], owner) end
end
return {redis.call('HGET', KEYS[2], owner) or '0', '0', recalled(KEYS[1]), settled(KEYS[4])}
