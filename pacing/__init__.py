"""Money and time: ledger, leases, frequency caps, plans, the pacing controller, shading."""
