"""Faults in earnest, under load, and what was lost: `make drill`.

clock       clocks that are set
engine      the engine as `hustings serve` runs it, with a Redis and a clock that the drill holds
faults      workers and Redis killed, a full disk, corrupted configs, clocks that are put forward and back
drill       traffic all along, one fault after the other, and the books at the end
"""
