"""`python -m tests.sim --trials 1000`: the trials of the first seeds; ends with one JSON line.

`--seed` runs one trial, and shows its world as well. A trial that breaks a guarantee names its seed.
"""

import argparse
import sys
import time
from dataclasses import asdict

import msgspec

from tests.sim.trial import BrokenPromise, Figures, run_trial, worst
from tests.sim.world import world_of

TRIALS_DEFAULT = 100


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS_DEFAULT, help="how many seeds to try")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, default=None, help="run this one trial again")
    options = parser.parse_args()
    if options.seed is not None:
        _say(msgspec.json.encode(asdict(world_of(options.seed))).decode())
    seeds = (
        [options.seed] if options.seed is not None else range(options.first, options.first + options.trials)
    )
    total, broken, started_s = Figures(trials=0), 0, time.monotonic()
    for seed in seeds:
        try:
            total = worst(total, run_trial(seed))
        except BrokenPromise as error:
            broken += 1
            _say(f"sim: {error}; again with: make sim SEED={seed}")
    _say(f"sim: {total.trials + broken} trials in {time.monotonic() - started_s:.0f} s, {broken} broken")
    _say(msgspec.json.encode(total).decode())
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
