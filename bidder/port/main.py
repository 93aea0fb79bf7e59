"""One bid worker: assembles the hot path and keeps it supplied.

    python -m bidder.port.main        started by the supervisor (`bidder.child`)

Twice a second: leases and reservations are settled with the ledger, the pacing plan is read, the ads
in flight are worked out, and the counts go to the metrics. A new config is compiled aside and
swapped in. On stop the port closes, what was taken is answered, and unreserved leases go back.
"""

import asyncio
import contextlib
import gc
import logging
import math
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import redis
import redis.asyncio

from bidder import metrics
from bidder.background import end_task, stopped_or_failed
from bidder.child import run
from bidder.decision.bitrows import BitRow
from bidder.decision.columns import CandidateColumns
from bidder.decision.crowds import large_enough
from bidder.decision.decide import Users, decide
from bidder.decision.schedule import active_ads
from bidder.decision.scoring import compile_scoring, predictor
from bidder.decision.snapshot import Snapshot, compile_snapshot
from bidder.decision.traffic import count_matches
from bidder.listener import Listener, limited
from bidder.openrtb.notice_token import TokenSigner
from bidder.openrtb.opportunity import BannerShape, MediaOffer, Opportunity, Slot
from bidder.openrtb.person import linked_sources
from bidder.openrtb.privacy import vendor_of
from bidder.openrtb.render import BidSequence, ResponseRenderer
from bidder.port.admission import Admission
from bidder.port.bid_reports import BidReports
from bidder.port.bidder import Bidder, BidState
from bidder.port.garbage import Garbage
from bidder.port.protocol import BidConnection, Connections
from bidder.port.reason_sample import ReasonSample
from bidder.port.stalls import Heartbeat
from bidder.port.tally import Tally
from bidder.port.traffic_report import TrafficReport
from bidder.redis_client import live_bundle, redis_client
from config import bundle_store
from config.calendar import local_day, local_hour
from config.limits import (
    BID_CONNECTIONS_MAX,
    DRAIN_SECONDS_MAX,
    IDLE_SECONDS_MAX,
    LOOKUP_TIMEOUT_MS,
    PLAN_STALE_SECONDS_MAX,
)
from config.money import BILLION
from config.notice_keys import KeyFile, Keyring, NoticeKey
from config.schema import Bundle, Engine, ExchangeProfile
from config.settings import Secrets, Settings, SettingsError, load_secrets
from pacing import plan as pacing_plan
from pacing import prediction
from pacing import stop as global_stop
from pacing.caps import unpack_caps
from pacing.cells import cells_of
from pacing.lease import LeaseBook
from pacing.lease_sync import LeaseLost, LeaseSync
from pacing.ledger import Ledger
from pacing.pending import PLACE_SETTLES_MORE_S, open_pending
from pacing.plan import Plan
from pacing.prediction import Model, Scoring, unscored
from pacing.shading import Shading, fetch_shading, shade_table
from segments.bitsets import unpack_users
from segments.identity import Identity
from segments.lookup import UserLookup
from segments.registry import RegistryError, SegmentRegistry
from segments.sizes import AudienceSizes

_LOG = logging.getLogger(__name__)
SYNC_SECONDS = 0.5
HURRIED_SYNC_SECONDS = 0.1
HURRIED_SECONDS_MAX = 10.0
"""A worker that starts without money, because the controller is only opening the accounts, asks more often
than every SYNC_SECONDS, for as long as this."""
MODEL_POLL_SECONDS = 2.0
THREAD_SWITCH_SECONDS = 0.001
"""How long a config being compiled in its thread may keep the event loop waiting at a time."""

_NO_CONFIG = Bundle(version="", engine=Engine(), exchanges=(), segments=(), advertisers=())


class BidWorker:
    """The parts of one worker that outlive a config."""

    def __init__(
        self,
        settings: Settings,
        keys: Secrets,
        client: redis.asyncio.Redis,
        lookup: UserLookup,
        owner: int,
        snapshot: Snapshot,
        *,
        stopped: bool,
    ) -> None:
        self._settings = settings
        self._client = client
        self._ledger = Ledger(client)
        self._lookup = lookup
        self._key_file = KeyFile(Path(settings.secret_file), keys.notice_key)
        self._take_keys(self._key_file.read())
        self._signer = self._signer_of(self._keyring.signing(time.time()))
        self._sequence = BidSequence()
        self._plan: Plan | None = None
        self._shading = Shading(version=0)
        self._plan_read_s = time.monotonic()
        self._audience_sizes = AudienceSizes()
        self._enough: tuple[Snapshot, BitRow] | None = None
        self._stopped = stopped
        self._place_settled_s = 0.0
        self._model: Model | None = None
        self._scored: tuple[Snapshot, Scoring] = (snapshot, unscored())
        self._shown: dict[int, int] = {}
        """What the metrics say each campaign may still promise."""
        # A book must not be replaced while a sync is under way in it.
        self._book_in_use = asyncio.Lock()
        self._set_owner(owner)
        self.tally = Tally()
        self._reports = BidReports(client)
        admission = Admission()
        self.heartbeat = Heartbeat(admission, self.tally)
        self.bidder = Bidder(
            self._state(snapshot, _open_book(snapshot)),
            lookup,
            Identity(keys.identity_key).hash,
            self.tally,
            admission,
            time.time,
            partial(random.Random().getrandbits, 64),
        )

        self.sample = self.bidder.sample = ReasonSample(client)
        self.traffic = self.bidder.traffic = TrafficReport(client)

    async def swap(self, snapshot: Snapshot) -> None:
        """Bid on a new config from now on; leases and reservations are carried over."""
        model = self._model
        scoring = await asyncio.to_thread(compile_scoring, model, snapshot)
        async with self._book_in_use:
            if self._model is not model:
                scoring = compile_scoring(self._model, snapshot)
            self._scored = snapshot, scoring
            book = self.bidder.state.book.carry_over(
                snapshot.account_codes, snapshot.account_bid_max_cpm_micros
            )
            self.bidder.state = self._state(snapshot, book)
        metrics.CONFIG_VERSION.labels("bid").set(metrics.config_number(snapshot.version))

    async def predict_by(self, model: Model) -> None:
        """Work out values with a new model from now on."""
        self._model = model
        snapshot = self.bidder.state.snapshot
        scoring = await asyncio.to_thread(compile_scoring, model, snapshot)
        if self.bidder.state.snapshot is snapshot:
            self._scored = snapshot, scoring
            self.bidder.state = msgspec.structs.replace(self.bidder.state, scoring=scoring)
        self.sample.predict = await asyncio.to_thread(predictor, model)
        metrics.MODEL_MADE.labels("bid").set(model.made_at_s)

    def hold(self, stopped: bool) -> None:
        """Make no bid from now on, or bid again (`pacing.stop`)."""
        self._stopped = stopped
        metrics.STOPPED.set(stopped)
        state = self.bidder.state
        active = self._active(state.snapshot)
        self.bidder.state = msgspec.structs.replace(state, active=active, stopped=stopped)

    async def tick(self) -> None:
        """Do what is due twice a second. Redis failing is counted; the worker goes on with what it holds."""
        try:
            await self._read_plan()
            if await self._audience_sizes.read(self._client):
                self._enough = None
            async with self._book_in_use:
                await self._sync_with_ledger()
            await self._reports.send(self.bidder.state.snapshot.campaigns, time.time())
            await self.sample.send(time.time())
            await self.traffic.send(time.time())
        except redis.RedisError as error:
            metrics.SYNC_FAILURES.inc()
            _LOG.warning("no sync with the ledger: %s", error)
        self._follow_keys()
        state = self.bidder.state
        if time.monotonic() - self._plan_read_s > PLAN_STALE_SECONDS_MAX:
            # Without a controller nobody holds campaigns to their plans.
            state.book.close_all()
        self.bidder.links.age(time.monotonic())
        self.bidder.state = msgspec.structs.replace(state, active=self._active(state.snapshot))
        self._export()

    def _follow_keys(self) -> None:
        """Sign with the key whose time has come, from the file as it is now."""
        try:
            changed = self._key_file.read_if_changed()
        except SettingsError as error:
            _LOG.warning("the notice keys stay as they were: %s", error)
        else:
            if changed is not None:
                self._take_keys(changed)
        key = self._keyring.signing(time.time())
        if key != self._signing:
            self._signer = self._signer_of(key)
            state = self.bidder.state
            self.bidder.state = self._state(state.snapshot, state.book)

    def _take_keys(self, ring: Keyring) -> None:
        self._keyring = ring
        metrics.NOTICE_KEYS.labels("bid").set(metrics.notice_keys_number(ring))

    def _signer_of(self, key: NoticeKey) -> TokenSigner:
        self._signing = key
        return TokenSigner(key.key, key.id)

    @property
    def has_money(self) -> bool:
        """Whether any campaign can be bid for."""
        return bool((self.bidder.state.book.available > 0).any())

    async def _sync_with_ledger(self) -> None:
        started_s = time.monotonic()
        snapshot, book = self.bidder.state.snapshot, self.bidder.state.book
        now_s = time.time()
        try:
            # Read before the accounts: a change in between is seen now, and looked at once more.
            changes, short = await self._ledger.changes(), await self._ledger.short()
            days, hours = _days(snapshot, now_s), _hours(snapshot, now_s)
            await self._sync.sync(book, now_s, days, hours, changes, short)
        except LeaseLost:
            _LOG.warning("this worker was silent for too long and its leases were reaped; starting afresh")
            self._set_owner(await self._ledger.new_owner())
            self.bidder.state = self._state(snapshot, _open_book(snapshot))
        else:
            metrics.SYNC_SECONDS.observe(time.monotonic() - started_s)
            self._take_place(list(await self._ledger.beats()))

    def _take_place(self, owners: list[int]) -> None:
        """Take this worker's place among the live ones, who share what frequency caps leave."""
        if self._owner in owners:
            pending, now_s = self.bidder.pending, time.monotonic()
            if pending.move(sorted(owners).index(self._owner), len(owners)):
                exchanges = self.bidder.state.snapshot.bundle.exchanges
                timeout_s = max((exchange.notice_timeout_seconds for exchange in exchanges), default=0)
                self._place_settled_s = now_s + 2 * timeout_s + PLACE_SETTLES_MORE_S
            elif now_s >= self._place_settled_s:
                pending.settle()

    async def close(self) -> None:
        """Give back what is not reserved; the rest is reaped when its notices can't come any more."""
        with contextlib.suppress(redis.RedisError, LeaseLost):
            await self._sync.close(self.bidder.state.book)
        self._export()
        with contextlib.suppress(redis.RedisError):
            await self._reports.send_all(self.bidder.state.snapshot.campaigns, time.time())
            await self.sample.send(time.time())

    def _set_owner(self, owner: int) -> None:
        self._owner = owner
        self._sync = LeaseSync(self._ledger, owner)

    def _state(self, snapshot: Snapshot, book: LeaseBook) -> BidState:
        plan = self._plan
        if plan is not None:
            _apply_multipliers(book, plan)
        return BidState(
            snapshot=snapshot,
            renderer=ResponseRenderer(
                snapshot, self._settings.events_url, self._signer, self._owner, self._sequence
            ),
            active=self._active(snapshot),
            stopped=self._stopped,
            shading=shade_table(
                self._shading.rows, cells_of(profile.id for profile in snapshot.bundle.exchanges)
            ),
            book=book,
            scoring=self._scored[1],
            vendor=vendor_of(snapshot.bundle.engine),
            linked_sources=linked_sources(snapshot.bundle.exchanges),
        )

    def _active(self, snapshot: Snapshot) -> BitRow:
        """The ads that may run now: on schedule, and with enough people in their audience; none in a stop."""
        if self._stopped:
            return np.zeros(snapshot.words, np.uint64)
        if self._enough is None or self._enough[0] is not snapshot:
            self._enough = (snapshot, large_enough(snapshot.crowds, self._audience_sizes.counts))
        return active_ads(snapshot.schedule, int(time.time())) & self._enough[1]

    async def _read_plan(self) -> None:
        plan = await pacing_plan.fetch(self._client)
        if plan is None or (self._plan is not None and plan.version == self._plan.version):
            return
        shading = None
        if plan.shading_version != self._shading.version:
            shading = await fetch_shading(self._client)
        # A plan that was there before this worker says nothing of a controller; the next one will.
        stale = self._plan is None and pacing_plan.is_stale(plan, time.time())
        self._plan, self._plan_read_s = plan, -math.inf if stale else time.monotonic()
        state = self.bidder.state
        if shading is not None:
            self._shading = msgspec.structs.replace(shading, version=plan.shading_version)
            self.bidder.state = msgspec.structs.replace(
                self._state(state.snapshot, state.book), renderer=state.renderer
            )
        else:
            _apply_multipliers(state.book, plan)

    def _export(self) -> None:
        self._reports.add(self.tally.export())
        faults, redirects = self._lookup.tally.take()
        for kind, count in faults.items():
            metrics.LOOKUP_FAILURES.labels(kind).inc(count)
        metrics.LOOKUP_REDIRECTS.inc(redirects)
        crowded_out = self.bidder.pending.crowded_out
        metrics.CAP_BIDS_CROWDED_OUT.inc(int(crowded_out[0]))
        crowded_out[0] = 0
        metrics.LOOKUP_NODES_OUT.set(self._lookup.nodes_out)
        campaigns, book = self.bidder.state.snapshot.campaigns, self.bidder.state.book
        for code, available in zip(book.codes, book.available.tolist(), strict=True):
            # Setting a gauge takes microseconds, and most campaigns have spent nothing since.
            if code in campaigns and self._shown.get(code) != available:
                self._shown[code] = available
                metrics.LEASE_AVAILABLE.labels(campaigns[code].id).set(max(available, 0) / BILLION)


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Run a worker until told to stop."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    async with contextlib.AsyncExitStack() as closing:
        keys = load_secrets(Path(settings.secret_file))
        client = redis_client(settings.redis_url)
        closing.push_async_callback(client.aclose)
        snapshot = await _compile(client, await live_bundle(client, keys.bundle_key) or _NO_CONFIG)
        warm_up()
        lookup = await UserLookup.connect(settings.redis_url, LOOKUP_TIMEOUT_MS)
        closing.push_async_callback(lookup.close)
        stop_seen = await global_stop.fetch(client)
        owner = await Ledger(client).new_owner()
        stopped = stop_seen is not None
        worker = BidWorker(settings, keys, client, lookup, owner, snapshot, stopped=stopped)
        closing.push_async_callback(worker.close)
        metrics.CONFIG_VERSION.labels("bid").set(metrics.config_number(snapshot.version))
        metrics.STOPPED.set(stopped)
        connections = Connections()
        listener = await Listener.open(
            settings.bid_host,
            settings.bid_port,
            limited(
                lambda: BidConnection(worker.bidder.submit, worker.bidder.is_ready, connections),
                lambda: len(connections),
                BID_CONNECTIONS_MAX,
            ),
        )
        garbage = Garbage()
        garbage.start(time.monotonic())
        closing.callback(garbage.stop)
        worker.heartbeat.start()
        closing.callback(worker.heartbeat.stop)
        ticks = asyncio.create_task(_tick_forever(worker, connections, garbage))
        closing.push_async_callback(end_task, ticks)
        config = asyncio.create_task(_follow_config(worker, client, keys.bundle_key, snapshot.version))
        closing.push_async_callback(end_task, config)
        predicting = asyncio.create_task(_follow_model(worker, client))
        closing.push_async_callback(end_task, predicting)
        holding = asyncio.create_task(_follow_stop(worker, client, stop_seen))
        closing.push_async_callback(end_task, holding)
        sampling = asyncio.create_task(worker.sample.run())
        closing.push_async_callback(end_task, sampling)
        announce_ready(listener.port)
        await stopped_or_failed(stop, ticks, config, predicting, holding, sampling)
        await listener.close()
        await connections.drain(settings.drain_seconds)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.bidder.finish(), DRAIN_SECONDS_MAX)


def warm_up() -> None:
    """Compile the kernel, or load it from the cache, by deciding on one request."""
    exchange = ExchangeProfile(id="warm-up")
    snapshot = compile_snapshot(msgspec.structs.replace(_NO_CONFIG, exchanges=(exchange,)), {})
    columns = CandidateColumns(snapshot)
    slot = Slot("1", MediaOffer(banner=BannerShape(((300, 250),))), 0)
    columns.add(0, Opportunity("1", exchange.id, (slot,)), 0)
    nobody = unpack_users([None], snapshot.segment_words, 0)
    users = Users(nobody, np.zeros(1, np.bool_), np.zeros(1, np.uint64), *unpack_caps([None]))
    shading = shade_table({}, cells_of([exchange.id]))
    book = _open_book(snapshot)
    active = active_ads(snapshot.schedule, 0)
    decide(snapshot, active, columns, users, shading, book, open_pending(), 0, 0)
    count_matches(snapshot, columns, users)


async def _tick_forever(worker: BidWorker, connections: Connections, garbage: Garbage) -> None:
    hurried_until_s = time.monotonic() + HURRIED_SECONDS_MAX
    while True:
        await worker.tick()
        garbage.tick(time.monotonic())
        connections.close_idle(time.monotonic_ns() - IDLE_SECONDS_MAX * 1_000_000_000)
        if not worker.has_money and time.monotonic() < hurried_until_s:
            await asyncio.sleep(HURRIED_SYNC_SECONDS)
        else:
            hurried_until_s = 0.0
            await asyncio.sleep(SYNC_SECONDS)


async def _follow_model(worker: BidWorker, client: redis.asyncio.Redis) -> None:
    version = 0
    while True:
        with contextlib.suppress(redis.RedisError):
            if await prediction.published_version(client) != version:
                model = await prediction.fetch(client)
                if model is not None:
                    await worker.predict_by(model)
                    version = model.version
        await asyncio.sleep(MODEL_POLL_SECONDS)


async def _follow_stop(worker: BidWorker, client: redis.asyncio.Redis, seen: global_stop.Stop | None) -> None:
    async for stop in global_stop.watch(client, seen):
        worker.hold(stop is not None)
        _LOG.warning("bidding goes on" if stop is None else f"bidding is stopped by {stop.by}: {stop.reason}")


async def _follow_config(
    worker: BidWorker, client: redis.asyncio.Redis, bundle_key: bytes, version: str
) -> None:
    bundles = bundle_store.watch(client, version, bundle_key, on_refused=metrics.note_refusal)
    async for bundle in bundles:
        try:
            snapshot = await _compile(client, bundle)
        except (redis.RedisError, RegistryError) as error:
            _LOG.error("config %s can't be used, the one before it stays live: %s", bundle.version, error)
            metrics.note_refusal("unusable")
            continue
        await worker.swap(snapshot)
        _LOG.info("config %s is live: %d ads", snapshot.version, len(snapshot.ads))


async def _compile(client: redis.asyncio.Redis, bundle: Bundle) -> Snapshot:
    indices = await SegmentRegistry(client).declare(bundle.segments)
    # Beside the loop: a large config takes longer to compile than a request may wait. Without the
    # collector, which would walk what is being built again and again; then out of its sight for good.
    gc.disable()
    try:
        return await asyncio.to_thread(compile_snapshot, bundle, indices)
    finally:
        gc.freeze()
        gc.enable()


def _open_book(snapshot: Snapshot) -> LeaseBook:
    return LeaseBook(snapshot.account_codes, snapshot.account_bid_max_cpm_micros)


def _apply_multipliers(book: LeaseBook, plan: Plan) -> None:
    for row, code in enumerate(book.codes):
        campaign = plan.campaigns.get(code)
        if campaign is not None:
            book.multiplier_q16[row] = campaign.multiplier_q16


def _days(snapshot: Snapshot, now_s: float) -> dict[int, int]:
    """The local day of each account, by code."""
    days = {code: local_day(int(now_s), campaign.time_zone) for code, campaign in snapshot.campaigns.items()}
    return days | {code: days[code & 0xFFFF_FFFF] for code in snapshot.account_codes if code not in days}


def _hours(snapshot: Snapshot, now_s: float) -> dict[int, int]:
    """The local hour of each campaign with an hourly budget, by code."""
    return {
        code: local_hour(int(now_s), campaign.time_zone)
        for code, campaign in snapshot.campaigns.items()
        if campaign.budget.hourly is not None
    }


if __name__ == "__main__":
    run(serve, prepare=warm_up)
