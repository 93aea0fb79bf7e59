"""All benchmarks in turn: `make bench`, or `python -m benchmarks [--small] [--json]`."""

import msgspec

from benchmarks import latency, matching, overload, scaling, segments, stages, startup, throughput
from benchmarks.command import Arguments, run_command


class Report(msgspec.Struct, frozen=True):
    matching: matching.Report
    stages: stages.Report
    throughput: throughput.Report
    scaling: scaling.Report
    latency: latency.Report
    overload: overload.Report
    startup: startup.Report
    segments: segments.Report


def run(options: Arguments) -> Report:
    """Run every benchmark, one after the other."""
    return Report(
        matching.run(options),
        stages.run(options),
        throughput.run(options),
        scaling.run(options),
        latency.run(options),
        overload.run(options),
        startup.run(options),
        segments.run(options),
    )


def show(report: Report) -> None:
    """Print all reports for a person."""
    matching.show(report.matching)
    stages.show(report.stages)
    throughput.show(report.throughput)
    scaling.show(report.scaling)
    latency.show(report.latency)
    overload.show(report.overload)
    startup.show(report.startup)
    segments.show(report.segments)


if __name__ == "__main__":
    run_command(__doc__, run, show)
