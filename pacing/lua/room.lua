-- What an account's budgets leave, put in front of the scripts that tell a worker its lease. Follows limbs.lua.

-- Returns the room under `total` and `daily`, and under all three budgets; negative where more is spent and
-- leased than they allow. `held`, an amount, is taken off the first two. No account has no room.
local function room(ledger, held)
  local account = redis.call('HMGET', ledger,
    'total', 'spent', 'leased', 'daily', 'spent_day', 'hourly', 'spent_hour')
  if not account[1] then return NOTHING end
  local leased = limbs(account[3])
  local left = minus(minus(limbs(account[1]), limbs(account[2])), leased)
  if account[4] then
    left = smaller(left, minus(minus(limbs(account[4]), limbs(account[5])), leased))
  end
  left = minus(left, held)
  if account[6] then
    left = smaller(left, minus(minus(limbs(account[6]), limbs(account[7] or '0')), leased))
  end
  return left
end

-- 1 when a worker should give back what it has not promised: the account is paused, or over a budget, as
-- after a cut, a correction or late bills. Else 0.
local function recalled(ledger)
  if redis.call('HGET', ledger, 'paused') == '1' then return 1 end
  return less(room(ledger, NOTHING), NOTHING) and 1 or 0
end
