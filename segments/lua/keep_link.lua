-- Link a partner's id to a person, or renew the link.
--
-- KEYS  1 the cap records of the id, or its link: string
--       2 the records that the id had, until somebody has counted them for the person: string
-- ARGV  1 the link: L and the 8 bytes of the person, 2 seconds to keep it, 3 1: also when it is linked to
--       another person now
-- Reply {0} when it stays with that other person, or was forgotten so lately that notices of it are still on
--       their way (`pacing.caps.forget_caps`); else {1, what was there: records, a link, or nothing, what
--       KEYS[2] holds now}

local before = redis.call('GET', KEYS[1]) or ''
if before == 'forgotten' then return {0} end
local linked = #before == #ARGV[1] and string.sub(before, 1, 1) == 'L'
if linked and before ~= ARGV[1] and ARGV[3] ~= '1' then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if before ~= '' and not linked then redis.call('SET', KEYS[2], before, 'EX', ARGV[2]) end
return {1, before, redis.call('GET', KEYS[2]) or ''}
