"""How often an impression brings a click, a conversion or a whole play: the published model, and its look-up.

The model is logistic regression over hashed features (`pacing.features`), learned aside
(`pacing.learning`), proven in the shadow (`pacing.shadow`) and published as one value under one key, which
workers swap whole. What it costs a bid is a sum of small integers:

    score = offset + sum of weights                                in 1/2048 of a neper
    rate  = link[score] × ratio of the exchange and campaign       in billionths

**Integers** because a bid must come out the same in the compiled kernel, in its plain Python and in the
naive twin, in whatever order the weights are summed. Weights are 16 bits: the published experience with
13 fractional bits is no measurable loss (McMahan et al. 2013); eleven leave room for weights of up to 16.

**The rate is the odds.** Every impression is learned as a failure the moment it is seen, and a click, when it
comes, as a success besides: nothing waits for the clicks that may still come, and nothing is joined. Of n
impressions with c clicks the regression then sees c successes and n failures, so the odds it learns, c / n,
are the rate itself (Ktena et al. 2019 call it the fake-negative calibration). `link` begins as exp.

**Calibration** is the rest. `link` is a monotone table of LINK_KNOTS rates, between which a rate is
interpolated: exp, bent to what scores have in fact brought. A ratio corrects one campaign on one exchange.

**Cold start.** Without a model, a rate is the line item's `expected_rate`, or PRIORS. With one, a line item
that names an `expected_rate` begins there, and moves to the model's rate as impressions are learned from:
`rate = prior + (model - prior) · e / (e + PRIOR_EVENTS)`, e being the events that the prior would have had
of its impressions.
"""

import zlib
from itertools import pairwise
from typing import Final, Literal, NamedTuple, cast, get_args

import msgspec
import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config.compiled import kernel
from config.money import BILLION
from config.redis_keys import MODEL, MODEL_SUMMARY, MODEL_VERSION
from config.schema import Format, LineItem
from config.value import Event
from pacing.features import TABLE_SLOTS

Predicted = Literal["click", "conversion", "completion"]
PREDICTED: Final[tuple[Predicted, ...]] = get_args(Predicted)
"""The events that a model predicts, in the order of the tables of `Scoring`."""
SCORE_ONE: Final = 2_048
"""A score of one neper."""
SCORE_MIN, SCORE_MAX = -20 * SCORE_ONE, 0
KNOT_BITS: Final = 7
"""Knots of the link are 1/16 of a neper apart."""
LINK_KNOTS: Final = ((SCORE_MAX - SCORE_MIN) >> KNOT_BITS) + 1
WEIGHT_MAX: Final = 2**15 - 1
PRIOR_EVENTS: Final = 10
TRUST_ONE: Final = 1 << 16
RATIO_ONE: Final = 1 << 16
RATIO_SOUND_MAX: Final = 16 * RATIO_ONE
IMPRESSIONS_SOUND_MAX: Final = 1 << 53
"""A model that says more than these is not of a trainer."""
PRIORS: Final[dict[Event, dict[Format, int]]] = {
    "impression": dict.fromkeys(get_args(Format), BILLION),
    "view": dict.fromkeys(get_args(Format), 500_000_000),
    "click": {"banner": 1_000_000, "video": 2_000_000, "audio": 300_000, "native": 2_000_000},
    "conversion": dict.fromkeys(get_args(Format), 50_000),
    "completion": dict.fromkeys(get_args(Format), 600_000_000),
}
"""Billionths, for line items without an `expected_rate`: round figures, on the low side."""


def _inflated(weights: bytes) -> bytes:
    return zlib.decompressobj().decompress(weights, 2 * TABLE_SLOTS + 1)


class EventModel(msgspec.Struct, frozen=True):
    """The model of one event."""

    offset: int
    weights: bytes
    """zlib of little-endian int16[TABLE_SLOTS], in 1/SCORE_ONE of a neper."""
    link: tuple[int, ...]
    """LINK_KNOTS rates in billionths, never falling: of the scores SCORE_MIN, SCORE_MIN + 2**KNOT_BITS ..."""
    ratios: dict[str, int] = {}
    """By `cell_name`: what the link's rates are multiplied by, in 1/RATIO_ONE; by 1 where it is not here."""
    learned: dict[int, int] = {}
    """By line item code: impressions learned from."""

    def table(self) -> NDArray[np.int16]:
        """Return the weights, int16[TABLE_SLOTS]."""
        return np.frombuffer(_inflated(self.weights), "<i2")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What is published: the live models. An event without one goes by its priors."""

    version: int
    made_at_s: int
    events: dict[Predicted, EventModel] = {}
    since_s: dict[Predicted, int] = {}
    """When each event's predictions became what they are; of one without a model, when it lost it."""


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What people want to know of the live models."""

    version: int
    live: tuple[Predicted, ...] = ()
    """The events that have a model; the others go by their priors."""
    since_s: dict[Predicted, int] = {}
    """As in `Model`."""


AD_SCORE = np.dtype(
    [
        # Marks.
        ("line_item", np.int64),
        ("creative", np.int64),
        ("alone", np.int32),  # the offset, and the weights of the ad alone
        ("trust", np.int32),  # how much of a rate is the model's, in 1/TRUST_ONE; the rest is the prior's
    ],
    align=True,
)
"""What a model says of an ad, for the event that its line item pays for."""


class Scoring(NamedTuple):
    """What the kernel reads of a model, for one snapshot. E is len(PREDICTED), in its order."""

    number: int
    """Of this scoring among those of its snapshot; 0 without a model."""
    live: NDArray[np.bool_]
    """bool[E]."""
    weights: NDArray[np.int16]
    """int16[E, TABLE_SLOTS]; a column alone where nothing is live, as of those below."""
    link: NDArray[np.int64]
    """int64[E, LINK_KNOTS]."""
    ratio: NDArray[np.int64]
    """int64[E, exchanges, campaigns], in 1/RATIO_ONE."""
    viewability: NDArray[np.int64]
    """int64[E, steps]: the weights of how likely an imp is to be seen, alone."""
    ads: NDArray[np.void]
    """AD_SCORE[ads]."""


def unscored() -> Scoring:
    """Return the scoring without a model."""
    events = len(PREDICTED)
    return Scoring(
        0,
        np.zeros(events, np.bool_),
        np.zeros((events, 1), np.int16),
        np.zeros((events, 1), np.int64),
        np.zeros((events, 1, 1), np.int64),
        np.zeros((events, 1), np.int64),
        np.zeros(1, AD_SCORE),
    )


def cell_name(exchange_id: str, campaign_id: str) -> str:
    """Name the calibration of one campaign on one exchange: ``plain/spring``."""
    return f"{exchange_id}/{campaign_id}"


def exponential_link() -> NDArray[np.int64]:
    """Return the link that is exp: int64[LINK_KNOTS] billionths."""
    scores = SCORE_MIN + (np.arange(LINK_KNOTS) << KNOT_BITS)
    link: NDArray[np.int64] = np.rint(np.exp(scores / SCORE_ONE) * BILLION).astype(np.int64)
    return link


@kernel
def linked(link: NDArray[np.int64], score: int) -> int:
    """Return the rate of a score, in billionths. link: int64[LINK_KNOTS]."""
    if score >= SCORE_MAX:
        return int(link[LINK_KNOTS - 1])
    if score <= SCORE_MIN:
        return int(link[0])
    above = score - SCORE_MIN
    knot = above >> KNOT_BITS
    rest = above & ((1 << KNOT_BITS) - 1)
    return int(link[knot] + (((link[knot + 1] - link[knot]) * rest) >> KNOT_BITS))


@kernel
def predicted_rate(link: NDArray[np.int64], score: int, ratio: int) -> int:
    """Return the rate of a score on an exchange, in billionths; ratio in 1/RATIO_ONE."""
    return min(linked(link, score) * ratio >> 16, 1_000_000_000)


@kernel
def predicted_rates(
    link: NDArray[np.int64], scores: NDArray[np.int64], ratios: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the rates of scores, int64[m]; see `predicted_rate`."""
    rates = np.empty(len(scores), np.int64)
    for i in range(len(scores)):
        rates[i] = predicted_rate(link, scores[i], ratios[i])
    return rates


@kernel
def trusted(prior: int, predicted: int, trust: int) -> int:
    """Return a rate between a prior and what is predicted; trust in 1/TRUST_ONE."""
    return prior + (((predicted - prior) * trust) >> 16)


@kernel
def worth(amount: int, rate_billionths: int) -> int:
    """Return the value of one impression, in CPM micros: `amount` billionths for each event.

    Exact, rounded down: in parts, none of which overflows up to EVENT_PRICE_MAX and a rate of 1.
    """
    of_millions = amount // 1_000_000 * rate_billionths
    of_rest = amount % 1_000_000 * rate_billionths // 1_000_000
    return (of_millions + of_rest) // 1_000


def prior_billionths(line_item: LineItem, format_: Format) -> int:
    """Return how often an impression brings what a line item pays for, as far as nothing is learned."""
    event, _ = line_item.price
    return int(line_item.expected_rate or PRIORS[event][format_])


def trust_in(stated_billionths: int | None, impressions: int) -> int:
    """Return how much of a line item's rate is the model's, after so many impressions of it.

    stated_billionths: its `expected_rate`.
    """
    if stated_billionths is None:
        return TRUST_ONE
    expected = impressions * stated_billionths
    return TRUST_ONE * expected // (expected + PRIOR_EVENTS * BILLION)


def encode(model: Model) -> bytes:
    """Write a model as MessagePack."""
    return msgspec.msgpack.encode(model)


def decode(data: bytes) -> Model | None:
    """Read what `encode` wrote; None where this version can't: another one's."""
    try:
        model = msgspec.msgpack.decode(data, type=Model)
        sound = all(_is_sound(event) for event in model.events.values())
    except (msgspec.DecodeError, zlib.error):
        return None
    return model if sound else None


def _is_sound(event: EventModel) -> bool:
    """Say whether every number of a model is one that the trainer could have written."""
    whole = len(event.link) == LINK_KNOTS and len(_inflated(event.weights)) == 2 * TABLE_SLOTS
    rises = all(low <= high for low, high in pairwise((0, *event.link, BILLION)))
    ratios = all(0 <= ratio <= RATIO_SOUND_MAX for ratio in event.ratios.values())
    learned = all(0 <= impressions <= IMPRESSIONS_SOUND_MAX for impressions in event.learned.values())
    return whole and rises and ratios and learned and abs(event.offset) <= -SCORE_MIN


async def publish(client: redis.asyncio.Redis, model: Model) -> None:
    """Make this the live model. Raises redis.RedisError."""
    summary = ModelSummary(version=model.version, live=tuple(model.events), since_s=model.since_s)
    await client.set(MODEL_SUMMARY, msgspec.json.encode(summary))
    await client.set(MODEL, encode(model))
    await client.set(MODEL_VERSION, b"%d" % model.version)


async def published_version(client: redis.asyncio.Redis) -> int:
    """Return the version of the live model; 0 when there is none. Raises redis.RedisError."""
    version = await client.get(MODEL_VERSION)
    return int(version) if version is not None and version.isdigit() else 0


async def fetch_summary(client: redis.asyncio.Redis) -> ModelSummary | None:
    """Return the summary of the live model; None when there is none that this version can read.

    Raises redis.RedisError.
    """
    data = cast(bytes | None, await client.get(MODEL_SUMMARY))
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=ModelSummary)
    except msgspec.DecodeError:
        return None


async def fetch(client: redis.asyncio.Redis) -> Model | None:
    """Return the live model, or None when there is none that this version can read.

    Raises redis.RedisError.
    """
    data = await client.get(MODEL)
    return None if data is None else decode(cast(bytes, data))
