"""The command line of every benchmark: `python -m benchmarks.matching [--small] [--json]`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import orjson

from config.embedded_server import EmbeddedServerError

_Report = TypeVar("_Report")


class BenchmarkError(Exception):
    """A benchmark can't be run, or would not be honest; the message says why."""


class Arguments(msgspec.Struct, frozen=True):
    small: bool
    """Fewer and smaller sizes, to see that everything runs."""
    json: bool
    histogram: Path | None = None
    """Where `benchmarks.latency` writes its curves."""


def run_command(
    description: str | None,
    run: Callable[[Arguments], _Report],
    show: Callable[[_Report], None],
    *,
    with_histogram: bool = False,
) -> None:
    """Read the command line, run, and print the report; exit 2 with one sentence when it can't be run."""
    summary = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--small", action="store_true", help="fewer and smaller sizes, for a quick look")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if with_histogram:
        parser.add_argument("--histogram", type=Path, metavar="FILE", help="write the whole curves here")
    options = Arguments(**vars(parser.parse_args()))
    try:
        report = run(options)
    except (BenchmarkError, EmbeddedServerError) as error:
        sys.stderr.write(f"benchmark: {error}\n")
        sys.exit(2)
    if options.json:
        print(as_json(report))
    else:
        show(report)


def as_json(report: object) -> str:
    """Write a report, whose structs are objects, for a program to read."""
    return orjson.dumps(msgspec.to_builtins(report), option=orjson.OPT_INDENT_2).decode()
