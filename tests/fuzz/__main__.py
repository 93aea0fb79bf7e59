"""`python -m tests.fuzz`: every target in turn until the time is up."""

import argparse
import asyncio
import contextlib
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import redis.asyncio

from config.embedded_server import EmbeddedServer
from tests.events.fuzzed import events_target
from tests.fuzz.targets import PortTargets, Target

SECONDS_DEFAULT = 60
TURN_DRAWS = 50


async def fuzz(seconds: float, run_seed: str, redis_url: str) -> Counter[str]:
    """Draw until the time is up; return how many inputs each target took. Raises at the first failure."""
    counts: Counter[str] = Counter()
    async with contextlib.AsyncExitStack() as closing:
        client = await closing.enter_async_context(redis.asyncio.Redis.from_url(redis_url))
        notices = await closing.enter_async_context(events_target(client))
        targets = [*PortTargets().all(), notices]
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for target in targets:
                await _turn(target, run_seed, counts)
    return counts


async def _turn(target: Target, run_seed: str, counts: Counter[str]) -> None:
    for _ in range(TURN_DRAWS):
        await target.draw(f"{run_seed} {counts[target.name]}")
        counts[target.name] += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS_DEFAULT)
    parser.add_argument("--seed", default=None, help="run the same draws again; any text")
    options = parser.parse_args()
    run_seed = options.seed or secrets.token_hex(4)
    started_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="hustings-fuzz-") as folder,
        EmbeddedServer.start(Path(folder), durable=False) as server,
    ):
        try:
            counts = asyncio.run(fuzz(options.seconds, run_seed, server.url))
        except AssertionError as error:
            sys.exit(f"seed {run_seed}: {error}")
    drawn = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    sys.stdout.write(
        f"fuzz: {time.monotonic() - started_s:.0f} s, seed {run_seed}: {drawn}; nothing failed\n"
    )


if __name__ == "__main__":
    main()
