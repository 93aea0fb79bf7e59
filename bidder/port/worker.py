"""One bid worker: what its bidder bids by, kept up to date.

    worker = BidWorker(settings, keys, client, lookup, owner, clock, snapshot, stopped=stopped)
    worker.bidder.submit                  # what connections call
    await worker.tick()                   # twice a second
    await worker.swap(snapshot)           # a new config;  predict_by(model)  hold(stopped)
    await worker.close()

What a decision reads is one `BidState`, made here of what comes from many sides and replaced whole. In each
tick the pacing plan is read, leases and reservations are settled with the ledger, the ads in flight are
worked out, and the counts go to the metrics.
"""

import asyncio
import contextlib
import logging
import math
import random
import time
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import redis
import redis.asyncio

from bidder import metrics
from bidder.decision.bitrows import BitRow
from bidder.decision.crowds import large_enough
from bidder.decision.schedule import active_ads
from bidder.decision.scoring import compile_scoring, predictor
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.person import linked_sources
from bidder.openrtb.privacy import vendor_of
from bidder.openrtb.render import BidSequence, ResponseRenderer
from bidder.port.admission import Admission
from bidder.port.bid_reports import BidReports
from bidder.port.bid_state import BidState
from bidder.port.bidder import Bidder
from bidder.port.reason_sample import ReasonSample
from bidder.port.signing import NoticeSigning
from bidder.port.stalls import Heartbeat
from bidder.port.tally import Tally
from bidder.port.traffic_report import TrafficReport
from config.calendar import local_day, local_hour
from config.limits import PLAN_STALE_SECONDS_MAX
from config.money import BILLION
from config.notice_keys import KeyFile
from config.settings import Secrets, Settings
from pacing import plan as pacing_plan
from pacing.cells import cells_of
from pacing.lease import LeaseBook
from pacing.lease_sync import LeaseLost, LeaseSync
from pacing.ledger import Ledger
from pacing.ledger_clock import DISAGREEMENT_SECONDS_MAX, LedgerClock, elapsed_s
from pacing.pending import PLACE_SETTLES_MORE_S
from pacing.plan import Plan
from pacing.prediction import Model, Scoring, unscored
from pacing.shading import Shading, fetch_shading, shade_table
from segments.identity import Identity
from segments.lookup import UserLookup
from segments.sizes import AudienceSizes

_LOG = logging.getLogger(__name__)


class BidWorker:
    """The parts of one worker that outlive a config."""

    def __init__(
        self,
        settings: Settings,
        keys: Secrets,
        client: redis.asyncio.Redis,
        lookup: UserLookup,
        owner: int,
        clock: LedgerClock,
        snapshot: Snapshot,
        *,
        stopped: bool,
    ) -> None:
        self._settings = settings
        self._client = client
        self._ledger = Ledger(client)
        self._lookup = lookup
        self._signing = NoticeSigning(KeyFile(Path(settings.secret_file), keys.notice_key), time.time())
        self._sequence = BidSequence()
        self._plan: Plan | None = None
        self._shading = Shading(version=0)
        self._plan_read_s = time.monotonic()
        self._audience_sizes = AudienceSizes()
        self._enough: tuple[Snapshot, BitRow] | None = None
        self._stopped = stopped
        self._place_settled_s = 0.0
        self._model: Model | None = None
        self._scoring: Scoring = unscored()
        self._shown: dict[int, int] = {}
        """What the metrics say each campaign may still promise."""
        # A book must not be replaced while a sync is under way in it.
        self._book_in_use = asyncio.Lock()
        self._clock = clock
        self._set_owner(owner)
        self.tally = Tally()
        self._reports = BidReports(client)
        admission = Admission()
        self.heartbeat = Heartbeat(admission, self.tally)
        self.bidder = Bidder(
            self._state(snapshot, open_book(snapshot)),
            lookup,
            Identity(keys.identity_key).hash,
            self.tally,
            admission,
            clock.now_s,
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
            self._scoring = scoring
            book = self.bidder.state.book.carry_over(
                snapshot.account_codes, snapshot.account_bid_max_cpm_micros
            )
            before = self.bidder.state.snapshot.campaigns
            self.bidder.state = self._state(snapshot, book)
        for code in self._shown.keys() - snapshot.campaigns.keys():
            del self._shown[code]
            metrics.LEASE_AVAILABLE.labels(before[code].id).set(0)
        metrics.CONFIG_VERSION.labels("bid").set(metrics.config_number(snapshot.version))

    async def predict_by(self, model: Model) -> None:
        """Work out values with a new model from now on."""
        self._model = model
        snapshot = self.bidder.state.snapshot
        scoring = await asyncio.to_thread(compile_scoring, model, snapshot)
        if self.bidder.state.snapshot is snapshot:
            self._scoring = scoring
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
            now_s = self._clock.now_s()
            await self._reports.send(self.bidder.state.snapshot.campaigns, now_s)
            await self.sample.send(now_s)
            await self.traffic.send(now_s)
        except redis.RedisError as error:
            metrics.SYNC_FAILURES.inc()
            _LOG.warning("no sync with the ledger: %s", error)
        if self._signing.follow(time.time()):
            self.bidder.state = self._state(self.bidder.state.snapshot, self.bidder.state.book)
        state = self.bidder.state
        if self._plan_is_stale():
            state.book.close_all()
        self.bidder.links.age(time.monotonic())
        self.bidder.state = msgspec.structs.replace(state, active=self._active(state.snapshot))
        self._export()

    @property
    def has_money(self) -> bool:
        """Whether any campaign can be bid for."""
        return bool((self.bidder.state.book.available > 0).any())

    async def _sync_with_ledger(self) -> None:
        started_s, asked_s = time.monotonic(), elapsed_s()
        # Read before the accounts: a change in between is seen now, and looked at once more.
        bulletin = await self._ledger.bulletin()
        heard_s = elapsed_s()
        ahead_s = self._clock.disagreement_s(bulletin.now_s, asked_s, heard_s)
        if abs(ahead_s) > DISAGREEMENT_SECONDS_MAX:
            _LOG.warning("Redis's clock was set by %+.1f s; this worker starts afresh by it", ahead_s)
            await self._sync.close(self.bidder.state.book)
            owner = await self._ledger.new_owner()
            self._clock.anchor(bulletin.now_s, heard_s)
            self._start_afresh(owner)
        snapshot, book = self.bidder.state.snapshot, self.bidder.state.book
        now_s = self._clock.now_s()
        # It stays so while this tick waits for other answers.
        book.shut = self._plan_is_stale()
        try:
            days, hours = _days(snapshot, now_s), _hours(snapshot, now_s)
            await self._sync.sync(book, now_s, days, hours, bulletin.changes, bulletin.short)
        except LeaseLost:
            _LOG.warning("this worker was silent for too long and its leases were reaped; starting afresh")
            self._start_afresh(await self._ledger.new_owner())
        else:
            metrics.SYNC_SECONDS.observe(time.monotonic() - started_s)
            self._take_place(bulletin.owners)

    def _plan_is_stale(self) -> bool:
        """Say whether there may be no controller any more: then nobody holds campaigns to their plans."""
        return time.monotonic() - self._plan_read_s > PLAN_STALE_SECONDS_MAX

    def _start_afresh(self, owner: int) -> None:
        """Go on as a new owner with an empty book."""
        self._sequence = BidSequence()
        self._set_owner(owner)
        snapshot = self.bidder.state.snapshot
        self.bidder.state = self._state(snapshot, open_book(snapshot))

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
            now_s = self._clock.now_s()
            await self._reports.send_all(self.bidder.state.snapshot.campaigns, now_s)
            await self.sample.send(now_s)

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
                snapshot, self._settings.events_url, self._signing.signer, self._owner, self._sequence
            ),
            active=self._active(snapshot),
            stopped=self._stopped,
            shading=shade_table(
                self._shading.rows, cells_of(profile.id for profile in snapshot.bundle.exchanges)
            ),
            book=book,
            scoring=self._scoring,
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


def open_book(snapshot: Snapshot) -> LeaseBook:
    """Return an empty book for the accounts of a config."""
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
