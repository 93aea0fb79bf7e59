"""Any request of the object tables gets an answer that a strict exchange accepts, whichever exchange it is.

What failed is printed with its seed: `requests(random.Random(seed))` draws it again.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bidder.decision.reasons import Reason
from loadtest.validate import problems
from tests.offline_port import OfflinePort
from tests.openrtb.houses import house_of
from tests.openrtb.object_tables import Object, requests, spoiled_requests
from tests.openrtb.wide_config import EXCHANGE_IDS, SEGMENTS, wide_config

REQUESTS = 150
"""Of each kind for each exchange."""
BIDS_MIN = REQUESTS // 10


class Exchanges:
    """Asks one port for many exchanges, judges what it answers, and counts it."""

    def __init__(self) -> None:
        bundle = wide_config()
        self._houses = {profile.id: house_of(profile, bundle.engine) for profile in bundle.exchanges}
        self._port = OfflinePort(bundle, SEGMENTS)
        self._runner = asyncio.Runner()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.mtypes: Counter[int] = Counter()

    def ask_all(self, exchange: str, draw: Callable[[random.Random], Object]) -> None:
        for seed in range(REQUESTS):
            request = draw(random.Random(f"{exchange} {seed}"))
            problem = self._problem(exchange, request)
            assert problem is None, f"seed '{exchange} {seed}': {problem}: {json.dumps(request)}"

    def _problem(self, exchange: str, request: Object) -> Any:
        answer = self._runner.run(self._port.ask(json.dumps(request).encode(), exchange))
        self.statuses[exchange, answer.status] += 1
        if self._port.tally.no_bids[Reason.FAULT]:
            return "a fault of ours"
        if answer.status in (204, 400):
            return answer.body or None
        if answer.status != 200:
            return answer.status
        self.mtypes.update(bid["mtype"] for bid in answer.bids)
        return problems(request, answer.json, self._houses[exchange]) or None

    def close(self) -> None:
        self._runner.close()


@pytest.fixture(scope="module")
def exchanges() -> Iterator[Exchanges]:
    asked = Exchanges()
    yield asked
    asked.close()


@pytest.mark.parametrize("exchange", EXCHANGE_IDS)
def test_every_well_typed_request_is_answered_soundly(exchanges: Exchanges, exchange: str) -> None:
    exchanges.ask_all(exchange, requests)
    assert not exchanges.statuses[exchange, 400]
    assert exchanges.statuses[exchange, 200] >= BIDS_MIN, "too few bids to judge anything by"


@pytest.mark.parametrize("exchange", EXCHANGE_IDS)
def test_wrong_types_anywhere_change_nothing_of_that(exchanges: Exchanges, exchange: str) -> None:
    exchanges.ask_all(exchange, spoiled_requests)


def test_every_format_was_bid_on(exchanges: Exchanges) -> None:
    if not exchanges.mtypes:
        exchanges.ask_all("plain", requests)
    assert set(exchanges.mtypes) == {1, 2, 3, 4}, exchanges.mtypes
