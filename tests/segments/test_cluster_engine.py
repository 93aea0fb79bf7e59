"""The engine on a Cluster: bids, bills, caps, config and pacing over nodes that share the slots."""

import asyncio
import os
import signal
import time
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
import redis
import redis.asyncio

from bidder.admin import redis_state
from bidder.admin.readiness import ask
from bidder.campaign_report import take_report
from bidder.cli.redis_option import checked_url
from bidder.redis_client import redis_client, why_unusable
from config import bundle_store
from config.redis_keys import BUNDLE_CHANNEL, STREAM_IMPRESSIONS
from config.schema import Bundle, FrequencyCap, code_of
from pacing.controller import Controller
from pacing.delivery import Happening, What, append_and_count, forget_frequencies
from pacing.ledger import Ledger
from segments.location import caps_key
from segments.registry import SegmentRegistry
from segments.slot_map import slot_of
from tests.events.processes import child
from tests.factories import BUNDLE_KEY, advertiser, bid_request, bundle, campaign, line_item
from tests.running import running_worker
from tests.segments.cluster import Cluster
from tests.waiting import SECONDS_MAX

CAMPAIGNS = [f"campaign-{number}" for number in range(12)]
"""Enough to be spread over all nodes."""


def config() -> Bundle:
    once = FrequencyCap(per_day=1)
    items = [line_item(f"line-{name}", audience="gardeners", frequency_cap=once) for name in CAMPAIGNS]
    return bundle(
        advertiser(campaigns=[campaign(name, [item]) for name, item in zip(CAMPAIGNS, items, strict=True)]),
        segments=["gardeners", "renters"],
    )


async def test_a_bid_is_made_billed_and_capped(
    cluster: Cluster, cluster_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    async with running_worker(cluster.url, config(), tmp_path) as worker:
        await worker.put_in_segments("member", "gardeners")
        await worker.put_in_segments("other", "renters")
        assert not await worker.bids(bid_request(user={"buyeruid": "other"}))
        shown = set()
        given = msgspec.structs.replace(worker.settings, events_port=0)
        await asyncio.to_thread(Path(given.metrics_dir).mkdir)
        with child("bidder.events.main", given) as events:
            port = await asyncio.to_thread(events.wait_until_ready)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as exchange:
                for _ in CAMPAIGNS:
                    (bid,) = await worker.bids(bid_request(user={"buyeruid": "member"}))
                    bill = urlsplit(bid["burl"].replace("${AUCTION_PRICE}", "5"))
                    for path in (bill.path, bill.path, "/imp"):
                        async with exchange.get(f"{path}?{bill.query}") as answer:
                            assert answer.status in (200, 204)
                    shown.add(bid["cid"])
                    async with asyncio.timeout(SECONDS_MAX):
                        # A process that Redis did not answer in time keeps the notice, and books it soon.
                        while not (spent := (await worker.account_check(bid["cid"])).spent):  # noqa: ASYNC110
                            await asyncio.sleep(0.01)
                    assert spent == 5_000_000
            events.terminate()
            assert (await asyncio.to_thread(events.end))[0] == 0
        # Each campaign once: after that its cap holds, wherever its counts and the person's are kept.
        assert shown == set(CAMPAIGNS)
        assert not await worker.bids(bid_request(user={"buyeruid": "member"}))
        assert await cluster_client.exists(caps_key(worker.identity.hash("cookie", "member")))
        readiness = await ask(cluster_client)
        assert readiness.ready
        assert len(readiness.workers) == 1


async def test_bidding_goes_on_in_context_while_a_node_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    on_context = line_item("line-context", cpm=1.0)
    wanted = line_item("line-audience", cpm=4.0, audience="gardeners")
    bids_on = bundle(
        advertiser(campaigns=[campaign("campaign-both", [on_context, wanted])]), segments=["gardeners"]
    )
    members = [f"member-{number}" for number in range(12)]
    async with running_worker(cluster.url, bids_on, tmp_path, lookup_timeout_ms=250) as worker:
        for member in members:
            await worker.put_in_segments(member, "gardeners")

        async def prices() -> list[float | None]:
            asked = [worker.bids(bid_request(user={"buyeruid": member})) for member in members]
            return [bids[0]["price"] if bids else None for bids in await asyncio.gather(*asked)]

        async def until_all_are_known() -> None:
            async with asyncio.timeout(SECONDS_MAX):
                while await prices() != [4.0] * len(members):  # noqa: ASYNC110 what is waited for announces itself to nobody
                    await asyncio.sleep(0.02)

        await until_all_are_known()
        # Not the node of the campaign's money, whose loss stops its bids for another reason.
        money = cluster.owners()[slot_of(b"c:%08x" % code_of("campaign-both"))]
        node = (money + 1) % 3
        os.kill(cluster.nodes[node].pid, signal.SIGSTOP)
        try:
            assert set(await prices()) == {1.0, 4.0}
        finally:
            os.kill(cluster.nodes[node].pid, signal.SIGCONT)
        await until_all_are_known()


async def test_a_new_config_reaches_who_watches(cluster_client: redis.asyncio.Redis) -> None:
    first, second = config(), msgspec.structs.replace(config(), version="second")
    watching = aclosing(bundle_store.watch(cluster_client, "", BUNDLE_KEY, poll_seconds=600))
    async with asyncio.timeout(SECONDS_MAX), watching as bundles:
        await bundle_store.publish(cluster_client, first, BUNDLE_KEY)
        assert await anext(bundles) == first
        next_bundle = asyncio.create_task(anext(bundles))
        while not next_bundle.done():  # until it listens again, a message may pass it by
            await cluster_client.publish(BUNDLE_CHANNEL, "wake up")
            await bundle_store.publish(cluster_client, second, BUNDLE_KEY)
            await asyncio.wait([next_bundle], timeout=0.05)
        assert await next_bundle == second


async def test_one_controller_paces_campaigns_of_all_nodes_and_reaps(
    cluster_client: redis.asyncio.Redis,
) -> None:
    paced, now_s = config(), time.time()
    await bundle_store.publish(cluster_client, paced, BUNDLE_KEY)
    ledger = Ledger(cluster_client)
    controllers = [Controller(cluster_client, ledger, name, interval_s=60.0) for name in ("first", "second")]
    assert [await controller.tick(paced, now_s) for controller in controllers] == [True, False]
    codes = [code_of(name) for name in CAMPAIGNS]
    assert set(await ledger.accounts(codes)) == set(codes)
    owner = await ledger.new_owner()
    for code in codes:
        assert (await ledger.grant(code, owner, 1_000_000, 0, 5_000_000, 1)).granted == 1_000_000
    assert await ledger.reap({owner: (await ledger.heartbeats())[owner]}) == len(codes) * 1_000_000
    for account in (await ledger.accounts(codes)).values():
        account.check()
        assert account.leased == 0
    await controllers[0].resign()
    assert await controllers[1].tick(paced, now_s + 1)
    await controllers[1].resign()


async def test_segments_are_defined_once_by_many_at_once(cluster_client: redis.asyncio.Redis) -> None:
    names = [f"segment-{number}" for number in range(40)]
    found = await asyncio.gather(
        *(SegmentRegistry(cluster_client).define(dict.fromkeys(names[start:], "")) for start in range(5))
    )
    merged = {name: index for indices in found for name, index in indices.items()}
    assert merged.keys() == set(names)
    assert len(set(merged.values())) == len(names)
    assert await SegmentRegistry(cluster_client).indices() == merged


async def test_a_node_named_as_a_server_is_told_what_it_is(cluster: Cluster) -> None:
    url = checked_url(cluster.nodes[0].url)
    elsewhere = next(f"key-{n}" for n in range(99) if cluster.owners()[slot_of(b"key-%d" % n)] != 0)
    async with redis_client(url) as cluster_client:
        with pytest.raises(redis.RedisError) as raised:
            await cluster_client.get(elsewhere)
    assert "redis+cluster://" in why_unusable(raised.value)


async def test_what_is_delivered_is_added_up_and_reported(
    cluster: Cluster, cluster_client: redis.asyncio.Redis
) -> None:
    happened: list[tuple[What, int]] = [
        ("impressions", 5),
        ("impressions", 6),
        ("impressions", 5),
        ("clicks", 0),
    ]
    for name in CAMPAIGNS:
        for what, user in happened:
            happening = Happening(code_of(name), 1, 20_000, 1_728_000_000, what, user)
            await append_and_count(cluster_client, STREAM_IMPRESSIONS, {"bid": "1-2-3"}, happening)
    for report in (await take_report(cluster_client, config(), CAMPAIGNS, 1_728_030_000, 2)).campaigns:
        assert (report.figures.impressions, report.figures.clicks) == (3, 1)
        assert (report.reach, report.frequencies) == (2, (0.5, 0.5))
    assert await forget_frequencies(cluster_client, [code_of(name) for name in CAMPAIGNS], [5])
    state = await redis_state.ask(cluster_client)
    assert state.nodes > 1
    assert state.clients >= state.nodes
