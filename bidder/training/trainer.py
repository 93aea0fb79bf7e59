"""The trainer: one elected process that learns from the event streams and publishes models.

    trainer = Trainer(client, "host-1")
    await trainer.run(stop, lambda: current_bundle)

Any number of processes may run one: they elect a leader through a Redis key with a time to live, and only
the leader reads, learns and publishes. What it has learned is written down at each review, so that
another, or the same after a restart, goes on from there: from the same entry of the streams.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final, cast

import numpy as np
import redis.asyncio
from numpy.typing import NDArray
from redis.typing import EncodableT, FieldT

from bidder.metrics import ACTUAL_EVENTS, MODEL_MADE, MODEL_REVIEWS, PREDICTED_EVENTS
from bidder.training.examples import BEGINNING, Catalogue, ExampleReader, catalogue_of
from config.redis_keys import TRAINER_LEASE, TRAINING
from config.schema import Bundle
from pacing.election import Election
from pacing.prediction import PREDICTED, Model, Predicted, fetch, publish
from pacing.shadow import EventTrainer, Examples, Outcome
from pacing.track_record import TrackRecord

READ_SECONDS: Final = 5.0
"""Between two looks at the streams."""
REVIEW_SECONDS: Final = 600.0
LEASE_SECONDS: Final = 60.0
"""A leader that has been silent for so long is replaced. A review, its slowest act, takes a second or two."""
_POSITION = b"read"

logger = logging.getLogger(__name__)


class Trainer:
    """One candidate for the office of trainer; `run` it, or call `round` with a time of your own."""

    def __init__(
        self, client: redis.asyncio.Redis, owner: str, *, review_seconds: float = REVIEW_SECONDS
    ) -> None:
        self._client = client
        self._review_seconds = review_seconds
        self._election = Election(client, TRAINER_LEASE, owner, LEASE_SECONDS)
        self._reader = ExampleReader(client)
        self._events: dict[Predicted, EventTrainer] = {}
        self._record = TrackRecord()
        self._version = 0
        self._since_s: dict[Predicted, int] = {}
        self._unpublished = False
        """What is live here is not yet in Redis."""
        self._reviewed_s = 0.0

    async def run(self, stop: asyncio.Event, bundles: Callable[[], Bundle | None]) -> None:
        """Learn until `stop`; give up the lease at the end. While Redis fails, it keeps trying."""
        failing = False
        while not stop.is_set():
            try:
                bundle = bundles()
                if bundle is not None:
                    await self.round(bundle, time.time())
                failing = False
            except redis.RedisError as error:
                if not failing:
                    logger.warning("the trainer can't use Redis and keeps trying: %s", error)
                failing = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), READ_SECONDS)
        with contextlib.suppress(redis.RedisError):
            await self.resign()

    async def round(self, bundle: Bundle, now_s: float) -> bool:
        """Learn what is new, and review when it is time; say whether a model was published.

        Does nothing where there is nothing to learn, and where another leads. Raises redis.RedisError.
        """
        catalogue = catalogue_of(bundle)
        if not catalogue.line_items or not await self._election.elected(lambda: self._take_up(now_s)):
            return False
        if not await self._read_all(catalogue):
            return False
        # A clock that was put back must not make the next review wait for what it showed before.
        if 0 <= now_s - self._reviewed_s < self._review_seconds:
            return False
        self._reviewed_s = now_s
        return await self._review(now_s)

    @property
    def position(self) -> str:
        """The id of the impression up to which the streams are read."""
        return self._reader.position

    async def resign(self) -> None:
        """Give up the lease, so that another takes over at its next round."""
        await self._election.resign()

    @property
    def leading(self) -> bool:
        """Tell whether this process trains now."""
        return self._election.leading

    async def _read_all(self, catalogue: Catalogue) -> bool:
        """Learn from every entry there is; False when another leads meanwhile."""
        while (examples := await self._reader.read(catalogue)) is not None:
            for event, trainer in self._events.items():
                if not len(examples[event].labels):
                    continue
                page = examples[event]
                rates = await asyncio.to_thread(trainer.take, page)
                self._record.count(event, page, rates, catalogue.owners)
                # Without a model, bids for whole plays go by what each request says, which is not known here.
                if event != "completion" or trainer.live is not None:
                    _count(event, page, rates)
            if not await self._election.renewed():
                return False
        return True

    async def _review(self, now_s: float) -> bool:
        """Let each event's contenders be compared; publish what is live now, and write down what is known."""
        for event, trainer in self._events.items():
            outcome = await asyncio.to_thread(trainer.review)
            MODEL_REVIEWS.labels(event, outcome.value).inc()
            if outcome is Outcome.ROLLED_BACK:
                logger.warning("the %s predictions were off and are rolled back", event)
            if outcome in (Outcome.PROMOTED, Outcome.ROLLED_BACK):
                self._unpublished = True
                self._since_s[event] = int(now_s)
        known: dict[FieldT, EncodableT] = {
            event: await asyncio.to_thread(trainer.dump) for event, trainer in self._events.items()
        }
        known[_POSITION] = self._reader.position
        # That may have taken long: only who still holds the lease speaks.
        if not await self._election.renewed():
            return False
        # First what bids go by: if Redis fails in between, the next review tries again.
        published = self._unpublished
        if published:
            await self._publish(now_s)
        await self._client.hset(TRAINING.decode(), mapping=known)
        await self._record.send(self._client)
        return published

    async def _publish(self, now_s: float) -> None:
        self._version += 1
        model = Model(
            version=self._version,
            made_at_s=int(now_s),
            events={event: model for event, trainer in self._events.items() if (model := trainer.live)},
            since_s=dict(self._since_s),
        )
        await publish(self._client, model)
        self._unpublished = False
        MODEL_MADE.labels("training").set(model.made_at_s)

    async def _take_up(self, now_s: float) -> None:
        """Go on where the last leader stopped."""
        self._reviewed_s = now_s
        model = await fetch(self._client)
        self._version = model.version if model is not None else 0
        self._since_s = dict(model.since_s) if model is not None else {}
        self._unpublished, self._record = False, TrackRecord()
        live = model.events if model is not None else {}
        known = cast(dict[bytes, bytes], await self._client.hgetall(TRAINING.decode()))
        self._events = {event: EventTrainer(event, live.get(event)) for event in PREDICTED}
        # An event that an older version did not learn is learned from now on. Where one can't be read,
        # it must read again what the others must not read twice.
        loaded = [
            trainer.load(known[event.encode()])
            for event, trainer in self._events.items()
            if event.encode() in known
        ]
        if not all(loaded):
            self._events = {event: EventTrainer(event, live.get(event)) for event in PREDICTED}
        position = known.get(_POSITION, b"").decode() if all(loaded) else BEGINNING
        self._reader = ExampleReader(self._client, position or BEGINNING)


def _count(event: Predicted, examples: Examples, rates: NDArray[np.float64]) -> None:
    """Add a page to the metrics."""
    cells = len(examples.cells)
    predicted = np.bincount(examples.cell, np.where(examples.labels, 0.0, rates), cells).tolist()
    came = np.bincount(examples.cell, examples.labels, cells).tolist()
    for campaign_id, more, events in zip(examples.campaigns, predicted, came, strict=True):
        PREDICTED_EVENTS.labels(campaign_id, event).inc(more)
        ACTUAL_EVENTS.labels(campaign_id, event).inc(events)
