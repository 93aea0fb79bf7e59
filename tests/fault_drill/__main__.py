"""`python -m tests.fault_drill`: some two minutes of faults, a line for each; ends with one JSON line.

Exit status 1 when something was lost that docs/money.md does not allow for.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.fault_drill.drill import Plan, broken, run_drill
from tests.fault_drill.faults import FAULTS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fault_drill", description=__doc__)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--seconds", type=float, default=Plan().seconds, help="of each fault")
    parser.add_argument("--rate", type=float, default=Plan().rate, help="requests a second")
    parser.add_argument("--workers", type=int, default=Plan().workers)
    parser.add_argument("--seed", type=int, default=0, help="of the kills and the bills")
    options = vars(parser.parse_args())
    options["faults"] = tuple(options["faults"])
    plan = Plan(**options)
    with tempfile.TemporaryDirectory(prefix="hustings-drill-") as folder:
        figures = asyncio.run(run_drill(plan, Path(folder)))
    for fault in figures.faults:
        sys.stdout.write(f"drill: {fault.fault}: {fault.lost()}\n")
    faults = broken(plan, figures)
    if faults:
        sys.stdout.write(f"drill: lost: {', '.join(faults)}\n")
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
