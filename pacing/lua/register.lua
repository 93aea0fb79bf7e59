-- Opens a campaign's account, or changes its budgets in flight.
--
-- KEYS  1 the ledger: hash
-- ARGV  1 the campaign's id  2 total  3 daily, or "" for none  4 time zone
-- reply the id of the account's campaign: not ARGV[1] when the code is another's, and nothing is done
--
-- Invariant: what is spent and leased is never touched. A total below it makes free negative, which
-- grants nothing.

local id = redis.call('HGET', KEYS[1], 'id')
if id and id ~= ARGV[1] then return id end
if not id then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'spent', '0', 'day', '0', 'spent_day', '0',
    'leased', '0', 'late', '0', 'paused', '0')
end
redis.call('HSET', KEYS[1], 'total', ARGV[2], 'time_zone', ARGV[4])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'daily')
else
  redis.call('HSET', KEYS[1], 'daily', ARGV[3])
end
return ARGV[1]
