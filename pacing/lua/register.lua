-- Opens an account, or changes its budgets in flight. Follows limbs.lua.
--
-- KEYS  1 the ledger: hash  2 what each line item of the campaign has spent: hash
--       3 what the campaign delivered on the local day: hash
-- ARGV  1 the id of the campaign or line item  2 total  3 daily, or "" for none  4 hourly, or ""
--       5 time zone  6 the line item's code in KEYS[2] and KEYS[3], or "" for a campaign  7 the local day
-- reply the id of the account's owner: not ARGV[1] when the code is another's, and nothing is done
--
-- Invariant: what is spent and leased is never touched. A total below it makes free negative, which
-- grants nothing. A line item that is given a budget in flight has spent what its bills say, and today what
-- they say of today, but for what was given back.

local id = redis.call('HGET', KEYS[1], 'id')
if id and id ~= ARGV[1] then return id end
if not id then
  local spent, today = '0', '0'
  if ARGV[6] ~= '' then
    spent = redis.call('HGET', KEYS[2], ARGV[6]) or '0'
    today = redis.call('HGET', KEYS[3], ARGV[6] .. ' spent') or '0'
    if less(limbs(spent), limbs(today)) then today = spent end
  end
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'spent', spent, 'day', ARGV[7], 'spent_day', today,
    'hour', '0', 'spent_hour', '0', 'leased', '0', 'late', '0', 'overdue', '0', 'adjusted', '0',
    'paused', '0')
end
redis.call('HSET', KEYS[1], 'total', ARGV[2], 'time_zone', ARGV[5])
for field, amount in pairs({daily = ARGV[3], hourly = ARGV[4]}) do
  if amount == '' then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, amount)
  end
end
return ARGV[1]
