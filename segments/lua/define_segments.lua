-- Give each named segment a free bit and note what is said of it: all of them or none.
--
-- KEYS  1 hash name -> bit, 2 the next bit never used, 3 hash bit -> JSON of the definition,
--       4 set of bits that are free again
-- ARGV  1 how many bits there are, then name and JSON alternating: an object of the fields to set.
--       An `owner` there must be the owner a known segment has, or claim one that is everybody's.
-- Reply {"ok"}; {"excess", how many bits more would have been needed}; or {"owner", name, whose it is}

local indices, next_key, definitions, free_key = unpack(KEYS)
local patches, fresh, seen = {}, {}, {}
for i = 2, #ARGV, 2 do
  local name, patch = ARGV[i], cjson.decode(ARGV[i + 1])
  local bit = redis.call('HGET', indices, name)
  if bit then
    local owner = cjson.decode(redis.call('HGET', definitions, bit)).owner
    if patch.owner and owner ~= '' and owner ~= patch.owner then
      return {'owner', name, owner}
    end
  elseif not seen[name] then
    seen[name] = true
    fresh[#fresh + 1] = name
  end
  patches[#patches + 1] = {name, patch}
end

local free = redis.call('SMEMBERS', free_key)
table.sort(free, function(a, b) return tonumber(a) < tonumber(b) end)
local next_bit = tonumber(redis.call('GET', next_key) or '0')
local excess = next_bit + #fresh - #free - tonumber(ARGV[1])
if #fresh > 0 and excess > 0 then
  return {'excess', excess}
end

local now_s = tonumber(redis.call('TIME')[1])
for i, name in ipairs(fresh) do
  local bit = free[i]
  if bit then
    redis.call('SREM', free_key, bit)
  else
    bit = next_bit
    next_bit = next_bit + 1
  end
  redis.call('HSET', indices, name, bit)
  redis.call('HSET', definitions, bit, cjson.encode({name = name, owner = '', created_s = now_s}))
end
redis.call('SET', next_key, next_bit)
for _, pair in ipairs(patches) do
  local bit = redis.call('HGET', indices, pair[1])
  local definition = cjson.decode(redis.call('HGET', definitions, bit))
  for field, value in pairs(pair[2]) do
    definition[field] = value
  end
  -- Cookies may hold days of their own for the bit as long as the segment exists.
  if definition.ruled then definition.was_ruled = true end
  redis.call('HSET', definitions, bit, cjson.encode(definition))
end
return {'ok'}
