"""`python -m tests.drill`: a drill of about two minutes; ends with one JSON line.

Exit status 1 when a guarantee did not hold.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.drill.drill import DrillFigures, Plan, run_drill

STRANDED_S_MAX = 15.0
"""Counted from the last beat, so from up to half a second before the kill."""
USED_SHARE_MIN = 0.995


def broken(figures: DrillFigures) -> list[str]:
    """Return the names of the figures that break a guarantee."""
    faults = [
        name
        for name in ("overspend_units_max", "unexplained_units_max", "duplicates_booked")
        if getattr(figures, name)
    ]
    if (figures.stranded_s_max or 0) > STRANDED_S_MAX:
        faults.append("stranded_s_max")
    if figures.used_share_min < USED_SHARE_MIN:
        faults.append("used_share_min")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan().seconds, help="of traffic")
    parser.add_argument("--rate", type=float, default=Plan().rate, help="requests a second")
    parser.add_argument("--workers", type=int, default=Plan().workers)
    parser.add_argument("--seed", type=int, default=0, help="of the kills and the bills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hustings-drill-") as folder:
        figures = asyncio.run(run_drill(Plan(**vars(options)), Path(folder)))
    faults = broken(figures)
    if faults:
        sys.stdout.write(f"kill-drill: broken: {', '.join(faults)}\n")
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
