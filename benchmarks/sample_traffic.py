"""Bid requests and the people in them, from a seed, and both as what a decision reads.

    people = sample_people(4_096, indices, identity, campaign_codes, now_s)
    opportunities = decode(sample_bodies(2_048, 4_096), exchange, identity)
    for batch in batches(snapshot, opportunities, people, now_s): ...

The bodies are those of `loadtest.traffic`: banner, video, native, app, site, one to three impressions,
0.9 to 3 kB, four fifths with a cookie that Redis knows, drawn from a Zipf-like law. Three people in
ten have seen ads before and have frequency-cap records.
"""

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.decode import decode_request
from bidder.openrtb.opportunity import Opportunity
from bidder.openrtb.translate import translate
from config.calendar import SECONDS_PER_DAY
from config.currency import DEFAULT_CURRENCY, Currencies
from config.schema import ExchangeProfile
from loadtest.traffic import TrafficMix, requests
from pacing.caps import CAP_RECORD, unpack_caps
from segments.bitsets import pack_values, unpack_users
from segments.identity import COOKIE, Identity
from segments.sample import sample_audience

SEED = 2016
BATCH_REQUESTS = 64
IOWA_SHARE = 0.75
"""Of requests. Elsewhere `benchmarks.sample_config` wants nobody, which bounds the bid rate."""
PEOPLE_WITH_CAPS_SHARE = 0.3
CAP_RECORDS_MAX = 6
TMAX_MS = 1_000
"""Long enough that a busy machine never makes a request too late to be decided on."""
DAYS_GOOD = 30


class People(msgspec.Struct, frozen=True):
    """Everybody whom Redis knows, in the form it stores."""

    hashes: NDArray[np.uint64]
    """uint64[n]: `Identity.hash` of each cookie."""
    bits: NDArray[np.uint64]
    """uint64[n, S]: their segments."""
    expiry_day: int
    values: Mapping[int, bytes]
    """By hash: the stored segments."""
    caps: Mapping[int, bytes]
    """By hash: the stored frequency-cap records, for those who have any."""


class Batch(msgspec.Struct, frozen=True):
    """The arguments of `decide` that come from the requests."""

    requests: int
    columns: CandidateColumns
    users: Users


def sample_bodies(count: int, people: int, tmax_ms: int = TMAX_MS) -> list[bytes]:
    """Return JSON bodies of bid requests, whose cookies are those of `sample_people(people, ...)`."""
    mix = TrafficMix(
        users=people,
        iowa_share=IOWA_SHARE,
        tmax_ms=tmax_ms,
        # Not in the traffic that earlier measurements were made with, and rare in life.
        screen_share=0,
        break_share=0,
        full_screen_share=0,
        opt_out_share=0,
    )
    traffic = requests(mix, random.Random(SEED))
    return [orjson.dumps(request) for request, _ in zip(traffic, range(count), strict=False)]


def sample_people(
    people: int, segments: Mapping[str, int], identity: Identity, campaign_codes: Sequence[int], now_s: int
) -> People:
    """Return made-up people with segments (name -> bit) and with what they have seen of campaigns today."""
    rng = np.random.default_rng(SEED)
    chunks = list(sample_audience(rng, people, segments))
    ids = [id_ for chunk, _ in chunks for id_ in chunk]
    hashes = [identity.hash(COOKIE, id_) for id_ in ids]
    bits = np.concatenate([chunk for _, chunk in chunks])
    expiry_day = now_s // SECONDS_PER_DAY + DAYS_GOOD
    return People(
        hashes=np.array(hashes, np.uint64),
        bits=bits,
        expiry_day=expiry_day,
        values=dict(zip(hashes, pack_values(bits, expiry_day), strict=True)),
        caps=_caps(rng, hashes, campaign_codes, now_s),
    )


def _caps(
    rng: np.random.Generator, hashes: Sequence[int], campaign_codes: Sequence[int], now_s: int
) -> dict[int, bytes]:
    codes = np.array(campaign_codes, np.uint32)
    caps = {}
    for user_hash in hashes:
        if rng.random() >= PEOPLE_WITH_CAPS_SHARE:
            continue
        seen = rng.permutation(codes)[: rng.integers(1, CAP_RECORDS_MAX + 1)]
        records = np.zeros(len(seen), CAP_RECORD)
        records["key"] = seen
        records["kept_day"] = now_s // SECONDS_PER_DAY
        records["count_day"] = rng.integers(1, 8, len(seen))
        records["count_hour"] = 1
        records["last_seen_minutes"] = now_s // 60
        caps[user_hash] = records.tobytes()
    return caps


def decode(bodies: Sequence[bytes], exchange: ExchangeProfile, identity: Identity) -> list[Opportunity]:
    """Read the bodies as the bid port does."""
    currencies = Currencies(DEFAULT_CURRENCY, {})
    return [translate(decode_request(body), exchange, currencies, identity.hash) for body in bodies]


def batches(
    snapshot: Snapshot, opportunities: Sequence[Opportunity], people: People, now_s: int
) -> Iterator[Batch]:
    """Yield the columns and users of BATCH_REQUESTS requests at a time."""
    for start in range(0, len(opportunities), BATCH_REQUESTS):
        batch = opportunities[start : start + BATCH_REQUESTS]
        hashes = list({opportunity.user_hash for opportunity in batch} - {0})
        rows = {user_hash: row for row, user_hash in enumerate(hashes, start=1)}
        columns = CandidateColumns(snapshot)
        for position, opportunity in enumerate(batch):
            columns.add(position, opportunity, rows.get(opportunity.user_hash, 0))
        yield Batch(len(batch), columns, users_of(snapshot, people, hashes, now_s))


def users_of(snapshot: Snapshot, people: People, hashes: Sequence[int], now_s: int) -> Users:
    """Return what a look-up of these people brings, row 0 being nobody."""
    known = np.ones(len(hashes) + 1, np.bool_)
    known[0] = False
    values = [None, *(people.values.get(user_hash) for user_hash in hashes)]
    caps = [None, *(people.caps.get(user_hash) for user_hash in hashes)]
    bits = unpack_users(values, snapshot.segment_words, now_s // SECONDS_PER_DAY)
    return Users(bits, known, np.array([0, *hashes], np.uint64), *unpack_caps(caps))
