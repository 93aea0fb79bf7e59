-- Exact whole numbers, put in front of the scripts that compare money.
--
-- Lua's numbers are doubles: above 2^53 they are not whole, and a budget reaches 10^18. So money is
-- never a Lua number. Sums are HINCRBY on decimal strings, which is exact in 64 bits; comparing and
-- dividing is done here on {high, low} = high * 10^9 + low, 0 <= low < 10^9. The value is negative
-- when high is. The reply of HINCRBY is a double too: scripts read the field again instead.

local LIMB = 1000000000

local function limbs(text)
  local sign, digits = string.match(text, '^(-?)(%d+)$')
  local high = tonumber(string.sub(digits, 1, -10)) or 0
  local low = tonumber(string.sub(digits, -9))
  if sign == '' then return {high, low} end
  if low == 0 then return {-high, 0} end
  return {-high - 1, LIMB - low}
end

local function minus(a, b)
  local high, low = a[1] - b[1], a[2] - b[2]
  if low < 0 then return {high - 1, low + LIMB} end
  return {high, low}
end

local function less(a, b)
  return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
end

local function smaller(a, b)
  if less(a, b) then return a end
  return b
end

local function larger(a, b)
  if less(a, b) then return b end
  return a
end

-- Divides by a whole number from 1 to 10^6, rounding down: the largest step is below 10^15.
local function share(a, divisor)
  local high = math.floor(a[1] / divisor)
  local rest = a[1] - high * divisor
  return {high, math.floor((rest * LIMB + a[2]) / divisor)}
end

-- The decimal string of a number that is not negative.
local function text(a)
  if a[1] == 0 then return string.format('%d', a[2]) end
  return string.format('%d%09d', a[1], a[2])
end

local NOTHING = {0, 0}
