"""All bidding protocols in turn: `python -m benchmarks.bidding`, see the package."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from benchmarks.bidding import calibrated, censored, clicks, compressed, day, predicted, surplus
from benchmarks.bidding.auctions import DataAbsent, SharedData
from benchmarks.bidding.page import write_page
from benchmarks.bidding.results import Result, as_builtins
from benchmarks.figures import machine

Run = Callable[[SharedData, bool], Result]
PROTOCOLS: Final[Mapping[str, Run]] = {
    "E1": clicks.run,
    "E3": surplus.run,
    "E4": day.run,
    "E4_delay60": day.run_delayed,
    "E5": censored.run,
    "calibration": calibrated.run,
    "prediction": predicted.run,
    "engine": compressed.run,
}
"""By name: what runs it. The second argument asks for a small size, to see that everything runs."""


def run_all(names: Sequence[str], data: SharedData, small: bool) -> dict[str, Result]:
    """Run protocols in their order; one whose data is absent is skipped."""
    results = {}
    for name in names:
        try:
            results[name] = PROTOCOLS[name](data, small)
        except DataAbsent as absent:
            about = (sys.modules[PROTOCOLS[name].__module__].__doc__ or "").partition("\n")[0]
            results[name] = Result(about=about, skipped=str(absent))
    return results


def show(results: Mapping[str, Result]) -> None:
    """Print results for a person."""
    print(f"bidding figures   ({machine()})")
    for name, result in results.items():
        print(f"\n{name}  {result.about}")
        if result.skipped:
            print(f"  skipped: {result.skipped}")
        for cell in result.cells:
            sign = ">=" if cell.bound == "min" else "<="
            mark = "reached" if cell.reached else "MISSED"
            print(f"  {cell.name:52} {cell.figure:12,.4f}  {sign} {cell.reference:<10,.4g} {mark}")
        for row_name, row in result.series.items():
            print(f"  {row_name:38}" + "".join(f"{figure:7,.2f}" for figure in row))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run what it asks for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bidding", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with pictures here")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the shared data, when not beside the project"
    )
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(PROTOCOLS)}")
    parser.add_argument("--small", action="store_true", help="smaller sizes, for a quick look")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(PROTOCOLS)
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        parser.error(f"no protocol {', '.join(unknown)}; there are {', '.join(PROTOCOLS)}")
    results = run_all(names, SharedData(options.data), options.small)
    if options.report is not None:
        write_page(options.report, results, machine())
    if options.json:
        print(orjson.dumps({name: as_builtins(result) for name, result in results.items()}).decode())
    else:
        show(results)


if __name__ == "__main__":
    main()
