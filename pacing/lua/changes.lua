-- Reads the counter of changes; a script, so that it travels with the others of a bulletin.
--
-- KEYS  1 the counter: string
-- reply its value, a decimal string; '0' before the first change

return redis.call('GET', KEYS[1]) or '0'
