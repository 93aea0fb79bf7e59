"""Ids that a sync linked to our cookie, through a real worker: one person, whichever id a request holds."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from bidder.openrtb.notice_token import Notice, TokenSigner
from config.calendar import SECONDS_PER_DAY
from config.schema import ExchangeProfile, FrequencyCap, code_of
from config.settings import load_secrets
from pacing.caps import CapLife, record_impression
from segments.identity import COOKIE
from segments.links import LinkStore
from tests.factories import advertiser, bid_request, bundle, campaign, line_item
from tests.running import RunningWorker, running_worker

SOURCE = "hosted.example"
ANN, BOB = "a" * 32, "b" * 32
BY_BUYERUID = {"buyeruid": "ann-at-hosted"}
BY_EID = {
    "eids": [
        {"source": "elsewhere.example", "uids": [{"id": "99"}]},
        {"source": SOURCE, "uids": [{"id": "ann-at-hosted"}]},
    ]
}


def hosted(**fields: Any) -> ExchangeProfile:
    return ExchangeProfile(id="plain", **({"id_source": SOURCE, "id_field": "buyeruid"} | fields))


def one_line_item(exchange: ExchangeProfile, **fields: Any) -> Any:
    return bundle(
        advertiser(campaigns=[campaign(line_items=[line_item(**fields)])]),
        exchanges=[exchange],
        segments=["gardeners"],
    )


async def link(worker: RunningWorker, partner_uid: str, cookie: str) -> None:
    identity = worker.identity
    today = int(time.time()) // SECONDS_PER_DAY
    id_hash, person = identity.hash(SOURCE, partner_uid), identity.hash(COOKIE, cookie)
    await LinkStore(worker.redis).link(id_hash, person, 30, today)


async def statuses_of_one_write(worker: RunningWorker, requests: list[dict[str, Any]]) -> list[int]:
    """Send requests in one write, so that they are one batch, and return the answers' statuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    for request in requests:
        body = msgspec.json.encode(request)
        writer.write(b"POST /bid/plain HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    statuses = []
    for _ in requests:
        head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(int(head.split()[1]))
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
    writer.close()
    await writer.wait_closed()
    return statuses


def notice(worker: RunningWorker, bid: dict[str, Any]) -> Notice:
    """Read what the bid's token says."""
    (token,) = parse_qs(urlsplit(bid["nurl"]).query)["t"]
    read = TokenSigner(load_secrets(Path(worker.settings.secret_file)).notice_key).read(token)
    assert read is not None
    return read


async def test_a_linked_id_is_in_the_audiences_of_the_person(redis_url: str, tmp_path: Path) -> None:
    config = one_line_item(hosted(), audience="gardeners")
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments(ANN, "gardeners")
        for user in (BY_BUYERUID, BY_EID):
            assert await worker.bids(bid_request(user=user)) == []
        await link(worker, "ann-at-hosted", ANN)
        person = worker.identity.hash(COOKIE, ANN)
        # Twice: the second time the worker remembers.
        for user in (BY_BUYERUID, BY_EID, BY_BUYERUID, BY_EID):
            (bid,) = await worker.bids(bid_request(user=user))
            assert notice(worker, bid).user_hash == person
        assert await worker.bids(bid_request(user={"buyeruid": "bob-at-hosted"})) == []


async def test_the_cookie_itself_still_is_the_person_where_the_exchange_keeps_the_table(
    redis_url: str, tmp_path: Path
) -> None:
    config = one_line_item(hosted(id_field="id"), audience="gardeners")
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments(ANN, "gardeners")
        await link(worker, "ann-at-hosted", ANN)
        for user in ({"buyeruid": ANN}, {"id": "ann-at-hosted"}, {"buyeruid": ANN, **BY_EID}, BY_EID):
            assert len(await worker.bids(bid_request(user=user))) == 1
        # This exchange's buyeruid is our cookie, and nobody has that one.
        assert await worker.bids(bid_request(user=BY_BUYERUID)) == []


async def test_impressions_under_any_id_count_for_one_cap(redis_url: str, tmp_path: Path) -> None:
    config = one_line_item(hosted(), frequency_cap=FrequencyCap(per_week=4))
    async with running_worker(redis_url, config, tmp_path) as worker:
        await link(worker, "ann-at-hosted", ANN)
        codes, lives = [code_of("line-1")], {code_of("line-1"): CapLife(week=True)}
        for hash_ in (worker.identity.hash(COOKIE, ANN), worker.identity.hash(SOURCE, "ann-at-hosted")):
            await record_impression(worker.redis, hash_, codes, int(time.time()), lives)
        # Two were shown. On a phone and on a television it is the same person who gets the other two.
        app = {"site": None, "app": {"bundle": "com.tv.example"}, "device": {"devicetype": 3}}
        assert len(await worker.bids(bid_request(user=BY_BUYERUID))) == 1
        assert len(await worker.bids(bid_request(user=BY_EID, **app))) == 1
        for user in (BY_EID, BY_BUYERUID):
            assert await worker.bids(bid_request(user=user)) == []
            assert await worker.bids(bid_request(user=user, **app)) == []
        assert len(await worker.bids(bid_request(user={"buyeruid": "bob-at-hosted"}))) == 1


async def test_two_people_in_one_batch_stay_apart(redis_url: str, tmp_path: Path) -> None:
    config = one_line_item(hosted(), audience="gardeners")
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments(ANN, "gardeners")
        await link(worker, "ann-at-hosted", ANN)
        await link(worker, "bob-at-hosted", BOB)
        bodies = [
            bid_request(id=f"r{n}", user={"buyeruid": f"{who}-at-hosted"})
            for n, who in enumerate(("ann", "bob", "cat", "ann"))
        ]
        for _ in range(2):
            assert await statuses_of_one_write(worker, bodies) == [200, 204, 204, 200]


async def test_without_consent_a_linked_id_is_not_read(redis_url: str, tmp_path: Path) -> None:
    config = one_line_item(hosted(), audience="gardeners")
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments(ANN, "gardeners")
        await link(worker, "ann-at-hosted", ANN)
        assert await worker.bids(bid_request(user=BY_EID, regs={"gdpr": 1})) == []
        assert len(await worker.bids(bid_request(user=BY_EID))) == 1
