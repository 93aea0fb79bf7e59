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
PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1, 11, 11, 11, 0)
"""Between attempts; the longer are past the notice timeout, when no bid is pending any more."""


def expected_bids(installed: Installation, bodies: Sequence[bytes], *, remember: bool = True) -> list[bool]:
    """Decide on every body; return whether it gets a bid.

    Bids of one batch are pending in the next, as in a worker's, unless not to `remember` them.
    """
    config, now_s = installed.config, int(time.time())
    inputs = decision_inputs(config, installed.plan, now_s)
    opportunities = decode(bodies, config.exchanges[0], installed.identity)
    expected: list[bool] = []
    for batch in batches(inputs.snapshot, opportunities, installed.people, now_s):
        if not remember:
            inputs.fund()
        ads = inputs.decide(batch, SEED).ad.tolist()
        bidding = {
            candidate.request for candidate, ad in zip(batch.columns.candidates, ads, strict=True) if ad >= 0
        }
        expected += [position in bidding for position in range(batch.requests)]
    return expected


async def check_answers(
    port: int, bodies: Sequence[bytes], expected: Sequence[bool], uncapped: Sequence[bool]
) -> None:
    """See that a worker bids where it should; raises BenchmarkError when it does not.

    A person's pending bids count for the caps until their notices are due, so a body that is only
    expected to bid `uncapped` may do either. A look-up that was too slow, or a lease that is still small,
    may cost a bid: such a body is asked again, at last when nothing is pending any more.
    """
    doubtful = list(range(len(bodies)))
    async with BidClient(f"http://127.0.0.1:{port}{PATH}", ASKED_AT_ONCE) as client:

        async def disagrees(number: int) -> bool:
            answer = await client.ask(bodies[number])
            if answer.status == 200:
                return not (expected[number] or uncapped[number])
            return expected[number] or answer.status != 204

        for pause_s in PAUSES_S:
            found = []
            for start in range(0, len(doubtful), ASKED_AT_ONCE):
                asked = doubtful[start : start + ASKED_AT_ONCE]
                answers = await asyncio.gather(*map(disagrees, asked))
                found += [number for number, wrong in zip(asked, answers, strict=True) if wrong]
            doubtful = found
            if not doubtful:
                return
            await asyncio.sleep(pause_s)
    raise BenchmarkError(
        f"the worker and the decision disagree on {len(doubtful)} of {len(bodies)} bodies: "
        "what would be measured is not the engine at work"
    )
