-- Give each named segment the next free bit, all of them or none.
--
-- KEYS  1 hash name -> bit, 2 the next free bit, 3 hash name -> description
-- ARGV  1 how many bits there are, then name and description alternating;
--       an empty description leaves the one there is
-- Reply 0 when done, else how many bits more would have been needed

local fresh = {}
local seen = {}
for i = 2, #ARGV, 2 do
  local name = ARGV[i]
  if not seen[name] and redis.call('HEXISTS', KEYS[1], name) == 0 then
    seen[name] = true
    fresh[#fresh + 1] = name
  end
end

local next_bit = tonumber(redis.call('GET', KEYS[2]) or '0')
local excess = next_bit + #fresh - tonumber(ARGV[1])
if #fresh > 0 and excess > 0 then
  return excess
end

for i, name in ipairs(fresh) do
  redis.call('HSET', KEYS[1], name, next_bit + i - 1)
end
if #fresh > 0 then
  redis.call('SET', KEYS[2], next_bit + #fresh)
end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  end
end
return 0
