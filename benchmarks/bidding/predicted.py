"""prediction: whether the engine's own click model, trained on real impressions, predicts later ones.

The rows of a file are written into the event streams of a Valkey as the events process writes them, in their
order. The engine's `Trainer` reads, learns, calibrates, lets candidates prove themselves in the shadow, and
publishes; it is called with a time of its own, REVIEWS times in the training rows. What is live then is held
to the rows that follow, of which it has seen nothing.

**What the data allows.** Of an impression the files have the price, which is not known before a bid, the
click rate that somebody else's model predicted, and in one of them the hour. No site, device or slot: so
nothing is said here of how much those are worth. The published rate, in steps of a STEPS_PER_NEPER-th of a
neper, stands in for all of them as the one mark of the context besides the hour; steps have no order for the
engine, which must learn what each is worth from its clicks. Its AUC can't be far above that of the published
rates, and need not be below; whether its rates are *right* is all its own doing.

2997's test set is later than what its published rates were learned from. Those of 1458 were learned from the
very rows that train here, so its training rows look clearer than what follows.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import redis.asyncio
from redis.typing import EncodableT, FieldT

from benchmarks.bidding.auctions import Auctions, SharedData
from benchmarks.bidding.results import Cell, Line, Picture, Result, at_least, at_most
from benchmarks.bidding.shop import CREATIVE, shop
from bidder.training.examples import ExampleReader, catalogue_of
from bidder.training.trainer import REVIEW_SECONDS, Trainer
from config.embedded_server import EmbeddedServer
from config.money import BILLION, CpmMicros, Money
from config.redis_keys import STREAM_CLICKS, STREAM_IMPRESSIONS
from config.schema import Budget, Bundle, Campaign, ExchangeProfile, LineItem
from pacing.features import CONTEXT_MARKS, MARK_BYTES, PACKED_BYTES, SITE, context_mark, pack_mark
from pacing.learning import slots_of
from pacing.prediction import fetch
from pacing.shadow import rates_of

REVIEWS: Final = 16
TENTHS: Final = 10
STEPS_PER_NEPER: Final = 2
PIPELINE_ROWS: Final = 5_000
RATIO_MIN, RATIO_MAX = 0.8, 1.25
"""Of predicted clicks to clicks: outside of this the engine's alert tells somebody."""

Floats = npt.NDArray[np.float64]


class Scores(NamedTuple):
    """How well rates predict clicks."""

    log_loss: float
    auc: float
    ratio: float
    """Predicted clicks for each that came."""


class Group(NamedTuple):
    """Impressions of like rates."""

    impressions: int
    predicted: float
    """Clicks."""
    came: int


def run(data: SharedData, small: bool = False) -> Result:
    """Train and test on both campaigns; small: every eighth impression without a click."""
    first, second = _halves(data.auctions("2997.test"))
    splits = {"2997": (first, second), "1458": (data.auctions("1458.train"), data.auctions("1458.test"))}
    cells: list[Cell] = []
    lines: list[Line] = []
    series: dict[str, Sequence[float]] = {}
    for name, (training, test) in splits.items():
        if small:
            training, test = _fewer(training), _fewer(test)
        rates = asyncio.run(learned(training, test))
        constant = np.full(len(test), training.click.mean())
        ours, base, theirs = (scored(each, test.click) for each in (rates, constant, test.click_rate))
        in_steps = auc(steps_of(test).astype(float), test.click)
        cells += [
            at_most(
                f"{name}: log loss, against a constant rate's",
                ours.log_loss,
                base.log_loss,
                f"published rates {theirs.log_loss:.6f}",
            ),
            at_least(
                f"{name}: AUC",
                ours.auc,
                0.5,
                f"published rates {theirs.auc:.3f}, in steps {in_steps:.3f}",
            ),
            at_least(f"{name}: predicted clicks for each that came, at least", ours.ratio, RATIO_MIN),
            at_most(f"{name}: predicted clicks for each that came, at most", ours.ratio, RATIO_MAX),
        ]
        groups = tenths(rates, test.click)
        series |= {
            f"{name}: predicted clicks, by tenth": [group.predicted for group in groups],
            f"{name}: clicks": [group.came for group in groups],
            f"{name}: predicted for each": [group.predicted / max(group.came, 1) for group in groups],
        }
        per_mille = [1_000 / max(group.impressions, 1) for group in groups]
        lines.append(
            Line(
                name,
                [group.predicted * each for group, each in zip(groups, per_mille, strict=True)],
                [group.came * each for group, each in zip(groups, per_mille, strict=True)],
            )
        )
    upto = max(max(line.x) for line in lines)
    lines.append(Line("right", [0.0, upto], [0.0, upto]))
    picture = Picture(
        title="Calibration of the engine's own click model, on later impressions",
        x_label="predicted click rate, per thousand",
        y_label="clicks per thousand impressions",
        lines=lines,
    )
    return Result(about=(__doc__ or "").partition("\n")[0], cells=cells, pictures=[picture], series=series)


def _halves(auctions: Auctions) -> tuple[Auctions, Auctions]:
    half = len(auctions) // 2
    return auctions.part(slice(0, half)), auctions.part(slice(half, None))


def _fewer(auctions: Auctions) -> Auctions:
    return auctions.part(auctions.click | (np.arange(len(auctions)) % 8 == 0))


async def learned(training: Auctions, test: Auctions) -> Floats:
    """Let the engine learn from the training rows; return what it predicts of the test rows."""
    config = _config()
    bounds = np.linspace(0, len(training), REVIEWS + 1).astype(int).tolist()
    async with contextlib.AsyncExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory())
        server = closing.enter_context(EmbeddedServer.start(Path(folder), durable=False))
        client = await closing.enter_async_context(redis.asyncio.Redis.from_url(server.url))
        trainer = Trainer(client, "benchmark")
        await trainer.round(config, 0.0)
        for review, (begin, end) in enumerate(pairwise(bounds), 1):
            await _write(client, training.part(slice(begin, end)), begin)
            await trainer.round(config, review * REVIEW_SECONDS)
        live = await fetch(client)
        model = live.events.get("click") if live is not None else None
        await _write(client, test, len(training))
        reader, rates = ExampleReader(client, trainer.position), []
        while (page := await reader.read(catalogue_of(config))) is not None:
            examples = page["click"]
            # Where no model has proven itself, bids go by the prior, and so does the figure.
            found = rates_of(model, examples, slots_of(examples.marks))
            rates.append(found[~examples.labels])
    return np.concatenate(rates)


async def _write(client: redis.asyncio.Redis, auctions: Auctions, first: int) -> None:
    """Write impressions, and the clicks that came of them, as the events process does."""
    steps = steps_of(auctions).tolist()
    packed = {step: _marks(step) for step in set(steps)}
    for begin in range(0, len(auctions), PIPELINE_ROWS):
        async with client.pipeline(transaction=False) as pipe:
            for row in range(begin, min(begin + PIPELINE_ROWS, len(auctions))):
                entry: dict[FieldT, EncodableT] = {
                    "bid": f"1-{60 * int(auctions.hour[row])}-{first + row}",
                    "campaign": "replayed",
                    "line_item": "all",
                    "creative": CREATIVE.id,
                    "exchange": "plain",
                    "format": "banner",
                    "price_max_cpm_micros": "1000000",
                    "marks": packed[steps[row]],
                }
                pipe.xadd(STREAM_IMPRESSIONS, entry, id=f"{first + row + 1}-0")
                if auctions.click[row]:
                    pipe.xadd(STREAM_CLICKS, entry, id=f"{first + row + 1}-1")
            await pipe.execute()


def steps_of(auctions: Auctions) -> npt.NDArray[np.int64]:
    """Return the step that each published rate is in."""
    nepers = np.log(np.maximum(auctions.click_rate, 1e-9))
    steps: npt.NDArray[np.int64] = np.rint(nepers * STEPS_PER_NEPER).astype(np.int64)
    return steps


def _marks(step: int) -> str:
    values = [""] * CONTEXT_MARKS
    values[SITE] = f"step {step}"
    packed = np.empty(PACKED_BYTES, np.uint8)
    for field, value in enumerate(values):
        pack_mark(packed, field * MARK_BYTES, context_mark(field, value))
    return packed.tobytes().hex()


def _config() -> Bundle:
    line_item = LineItem(
        id="all", bid_cpc=Money(BILLION), bid_cpm_max=CpmMicros(10_000_000), creatives=(CREATIVE.id,)
    )
    campaign = Campaign(id="replayed", budget=Budget(total=Money(BILLION)), line_items=(line_item,))
    return shop(campaign, ExchangeProfile(id="plain"))


def scored(rates: Floats, click: npt.NDArray[np.bool_]) -> Scores:
    """Hold rates to clicks. Both float64[n] and bool[n]."""
    bounded = np.clip(rates, 1e-9, 1 - 1e-9)
    loss = -float(np.where(click, np.log(bounded), np.log1p(-bounded)).mean())
    return Scores(loss, auc(rates, click), float(rates.sum() / click.sum()))


def auc(rates: Floats, click: npt.NDArray[np.bool_]) -> float:
    """Return how likely an impression with a click is rated above one without; equal rates count a half."""
    _, rank, count = np.unique(rates, return_inverse=True, return_counts=True)
    above = np.cumsum(count) - (count - 1) / 2
    clicks = int(click.sum())
    ranks = float(above[rank.reshape(-1)][click].sum())
    return (ranks - clicks * (clicks + 1) / 2) / (clicks * (len(click) - clicks))


def tenths(rates: Floats, click: npt.NDArray[np.bool_]) -> list[Group]:
    """Part impressions, the lowest rates first, into groups with a tenth of the predicted clicks each."""
    order = np.argsort(rates, kind="stable")
    reached = np.cumsum(rates[order]) / rates.sum()
    group = np.minimum((reached * TENTHS).astype(int), TENTHS - 1)
    impressions = np.bincount(group, minlength=TENTHS).tolist()
    predicted = np.bincount(group, rates[order], TENTHS).tolist()
    came = np.bincount(group, click[order], TENTHS).astype(int).tolist()
    return [Group(*each) for each in zip(impressions, predicted, came, strict=True)]
