-- Reads an account as it stands at one moment.
--
-- KEYS  1 the ledger: hash  2 the leases: hash, owner -> outstanding
-- reply {the ledger's fields and values, the leases' owners and amounts}
--
-- Invariant: both are read together, so leased is the sum of the leases in every reply.

return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
