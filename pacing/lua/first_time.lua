-- Says whether a notice of one bid comes for the first time, and remembers it.
--
-- KEYS  1 the seen bits: bit string
-- ARGV  1 the bit  2 the minute of the bid  3 seconds after it that a notice is taken
--       4 seconds a bit is kept
-- reply 1 the first time  0 a repeat, or too old to tell
--
-- Invariant: the bit outlives the time in which a notice is taken, so at most one call gets 1.

if tonumber(redis.call('TIME')[1]) >= tonumber(ARGV[2]) * 60 + tonumber(ARGV[3]) then return 0 end
local before = redis.call('SETBIT', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1 - before
