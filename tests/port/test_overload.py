"""More requests than can be decided: the surplus gets a 204 at once, and service returns by itself."""

import asyncio
import gc
import time
from pathlib import Path

import msgspec
from prometheus_client import REGISTRY

from bidder.port.admission import Admission
from bidder.port.stalls import Heartbeat
from bidder.port.tally import Tally
from config.limits import (
    ADMISSION_LAG_MS_MAX,
    ADMISSION_REQUESTS_MIN,
    BATCH_REQUESTS_MAX,
    HEARTBEAT_MS,
    PIPELINED_REQUESTS_MAX,
)
from tests.factories import bid_request, bundle
from tests.port.test_bid_port import Connection, post
from tests.running import running_worker
from tests.waiting import SECONDS_MAX

ON_TIME_NS = 0
LATE_NS = (ADMISSION_LAG_MS_MAX + 1) * 1_000_000
BODY = msgspec.json.encode(bid_request())


def overloaded() -> Admission:
    """An admission that has been late until it takes on the least."""
    admission = Admission()
    for _ in range(100):
        admission.admitted(admission.requests_max)
        admission.beat(LATE_NS)
    return admission


def test_a_worker_on_time_takes_on_everything() -> None:
    admission = Admission()
    for _ in range(10):
        admission.admitted(BATCH_REQUESTS_MAX)
        admission.beat(ON_TIME_NS)
    assert admission.requests_max == BATCH_REQUESTS_MAX


def test_one_late_beat_is_a_stall_and_two_are_a_load() -> None:
    admission = Admission()
    admission.admitted(200)
    admission.beat(LATE_NS)
    assert admission.requests_max == BATCH_REQUESTS_MAX
    admission.admitted(120)
    admission.admitted(80)
    admission.beat(LATE_NS)
    assert admission.requests_max == 90


def test_late_beats_without_requests_change_nothing() -> None:
    admission = Admission()
    for _ in range(5):
        admission.beat(LATE_NS)
    assert admission.requests_max == BATCH_REQUESTS_MAX


def test_the_limit_has_a_floor_and_is_back_at_its_most_within_a_second() -> None:
    admission = overloaded()
    assert admission.requests_max == ADMISSION_REQUESTS_MIN
    for _ in range(1_000 // HEARTBEAT_MS):
        admission.beat(ON_TIME_NS)
    assert admission.requests_max == BATCH_REQUESTS_MAX


async def test_a_burst_past_the_limit_is_refused_at_once_and_counted(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        connections = [await Connection.open(worker) for _ in range(12)]
        before, refused_before = answered(), refused()
        for connection in connections:
            connection.write(post(BODY) * PIPELINED_REQUESTS_MAX)
        # The worker is on this loop: what comes while it stands is met at once.
        time.sleep(0.1)  # noqa: ASYNC251
        statuses = [
            (await connection.receive())[0]
            for connection in connections
            for _ in range(PIPELINED_REQUESTS_MAX)
        ]
        assert set(statuses) == {200, 204}
        await until_counted(before + len(statuses))
        assert 0 < refused() - refused_before <= statuses.count(204)
        # The connections live on, and the next request is bid on.
        await connections[0].send(post(BODY))
        assert (await connections[0].receive())[0] == 200
        for connection in connections:
            await connection.close()


async def test_the_loops_lag_and_the_collectors_pauses_are_measured() -> None:
    tally = Tally()
    heartbeat = Heartbeat(Admission(), tally)
    heartbeat.start()
    try:
        gc.collect()
        async with asyncio.timeout(SECONDS_MAX):
            while max(tally.loop_lags_ns, default=0) < 20_000_000:
                time.sleep(0.04)  # noqa: ASYNC251 - a loop that does not turn is what is measured
                await asyncio.sleep(0)
    finally:
        heartbeat.stop()
    assert tally.gc_pauses_ns
    pauses = len(tally.gc_pauses_ns)
    gc.collect()
    assert len(tally.gc_pauses_ns) == pauses


def refused() -> float:
    return REGISTRY.get_sample_value("hustings_no_bids_total", {"reason": "overload"}) or 0.0


def answered() -> float:
    outcomes = [{"exchange": "plain", "outcome": outcome} for outcome in ("bid", "no_bid")]
    return sum(REGISTRY.get_sample_value("hustings_bid_requests_total", labels) or 0.0 for labels in outcomes)


async def until_counted(requests: float) -> None:
    """A worker's counts reach the metrics once a second."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if answered() >= requests:
                return
            await asyncio.sleep(0.01)
