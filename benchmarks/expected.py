"""Which requests should get a bid: the decision called directly, with money for all.

    expected = expected_bids(installed, bodies)

A worker is held to this before it is measured: a fast one that does not bid is not the engine at work.
"""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.command import BenchmarkError
from benchmarks.decision_inputs import decision_inputs
from benchmarks.installation import Installation
from benchmarks.load import PATH
from benchmarks.sample_traffic import SEED, batches, decode
from loadtest.client import BidClient

ASKED_AT_ONCE = 16
ATTEMPTS_MAX = 5


def expected_bids(installed: Installation, bodies: Sequence[bytes]) -> list[bool]:
    """Decide on every body; return whether it gets a bid."""
    config, now_s = installed.config, int(time.time())
    inputs = decision_inputs(config, installed.plan, now_s)
    opportunities = decode(bodies, config.exchanges[0], installed.identity)
    expected: list[bool] = []
    for batch in batches(inputs.snapshot, opportunities, installed.people, now_s):
        ads = inputs.decide(batch, SEED).ad.tolist()
        bidding = {
            candidate.request for candidate, ad in zip(batch.columns.candidates, ads, strict=True) if ad >= 0
        }
        expected += [position in bidding for position in range(batch.requests)]
    return expected


async def check_answers(port: int, bodies: Sequence[bytes], expected: Sequence[bool]) -> None:
    """See that a worker bids where it should; raises BenchmarkError when it does not.

    A look-up that was too slow, or a lease that is still small, may cost a bid: such a body is
    asked again, a second later.
    """
    doubtful = list(range(len(bodies)))
    async with BidClient(f"http://127.0.0.1:{port}{PATH}", ASKED_AT_ONCE) as client:

        async def disagrees(number: int) -> bool:
            answer = await client.ask(bodies[number])
            return answer.status != (200 if expected[number] else 204)

        for _ in range(ATTEMPTS_MAX):
            found = []
            for start in range(0, len(doubtful), ASKED_AT_ONCE):
                asked = doubtful[start : start + ASKED_AT_ONCE]
                answers = await asyncio.gather(*map(disagrees, asked))
                found += [number for number, wrong in zip(asked, answers, strict=True) if wrong]
            doubtful = found
            if not doubtful:
                return
            await asyncio.sleep(1)
    raise BenchmarkError(
        f"the worker and the decision disagree on {len(doubtful)} of {len(bodies)} bodies: "
        "what would be measured is not the engine at work"
    )
