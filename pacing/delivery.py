"""What campaigns delivered, added up as it happens: by local day, by hour, and to how many people.

    await append_and_count(client, stream, entry, Happening(code, line_item, day, hour, "impressions", user))
    days = await delivered_days(client, code, range(20_400, 20_431))
    reach = await reach_of(client, code)

The event streams hold single events, and only the newest million. A report asks for sums over a flight, so
the events process adds each event to the sums of its bid's local day and hour in the round trip that writes
it, workers add the bids they made, and the ledger's `settle` adds each bill in the step that books it: the
sums of `spent` are the bills, to the last billionth. All keys of a campaign are in its cluster slot:

    delivered(code, day)             impressions 812     0a1b2c3d impressions 500     why place 20
    delivered_hours(code, day)       1771372800 impressions 33      plan 1250000000
    reach(code), reach(code, item)   HyperLogLog: 12 kB at most, 0.81 % standard error
    frequencies(code)                5812773 4        a sampled person was shown 4 impressions

WHATS is what is counted; `why …` is a reason of `hustings campaign report`, from samples
(`bidder.port.reason_sample`). Times are the campaign's own: a day is `local_day`, an hour is the second it
began in.

Frequency
---------
How many people saw an ad how often can't be had from sums, and a counter for each person is what the engine
does not want to keep. So FREQUENCY_SAMPLE_PEOPLE are drawn: those of the smallest ranks, where a rank is 48
bits of a hash of person and campaign. That is a fair sample of everybody reached, whoever comes when, and
whoever is in it was counted from the first impression: ranks only get crowded out from above. With ranks 7,
3, 9, 3 and room for two, the sample is {3: 2, 7: 1}.

A person who asks to be forgotten is taken out of all samples (`forget_frequencies`). A HyperLogLog holds
nothing of a person that could be found or taken out again: 16,384 registers, each the longest run of zeros
of all the hashes that fell to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import redis.asyncio
from redis.exceptions import NoScriptError
from redis.typing import EncodableT, FieldT

from config import redis_keys
from config.limits import (
    DELIVERED_HOURS_SECONDS,
    DELIVERED_SECONDS,
    FREQUENCY_SAMPLE_PEOPLE,
    STREAM_ENTRIES_MAX,
)
from pacing.scripts import Call, Script

What = Literal[
    "bids",
    "wins",
    "losses",
    "impressions",
    "recognised",
    "clicks",
    "conversions",
    "completions",
    "bills",
    "spent",
    "offered",
]
"""`recognised` are the impressions whose person is known, and may be counted; `offered` is what the bids that
were billed allowed, as `spent` is what they cost."""
WHATS: tuple[What, ...] = get_args(What)
WHY: Final = "why "
"""What a field begins with that counts a sampled reason."""
PLAN: Final = "plan"
WINDOW_SPENT: Final = "window_spent"
WINDOW_START: Final = "window_start"
_READ_COMMANDS: Final = 500
_COUNT = Script("count_delivery", "delivery")


class Happening(NamedTuple):
    """Something that happened to bids of one line item; the time is that of the bid."""

    campaign_code: int
    line_item_code: int
    day: int
    hour: int
    what: What
    user_hash: int = 0
    """Who saw an impression; 0 for nobody, or somebody who may not be counted."""
    times: int = 1


def count_call(happening: Happening) -> Call:
    """Return the script call that counts it, for `pacing.scripts.run_all`."""
    code, line_item, day, hour, what, user_hash, times = happening
    keys = [
        redis_keys.delivered(code, day),
        redis_keys.delivered_hours(code, day),
        redis_keys.reach(code),
        redis_keys.reach(code, line_item),
        redis_keys.frequencies(code),
    ]
    arguments: list[bytes | str | int] = [DELIVERED_SECONDS, DELIVERED_HOURS_SECONDS, hour]
    arguments += [line_item, what, times]
    arguments += [user_hash.to_bytes(8, "big") if user_hash else b"", rank_of(user_hash, code)]
    return Call(_COUNT, keys, [*arguments, FREQUENCY_SAMPLE_PEOPLE])


def rank_of(user_hash: int, campaign_code: int) -> int:
    """Return a person's rank in a campaign's sample: 48 bits of splitmix64 (Steele, Lea, Flood 2014)."""
    x = (user_hash + campaign_code * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return (x ^ (x >> 31)) >> 16


async def append_and_count(
    client: redis.asyncio.Redis, stream: bytes, entry: Mapping[str, str], happening: Happening
) -> None:
    """Write an event to its stream and add it to the sums, in one round trip. Raises redis.RedisError."""
    fields: dict[FieldT, EncodableT] = dict(entry.items())
    script, keys, arguments = count_call(happening)
    async with client.pipeline(transaction=False) as pipe:
        pipe.xadd(stream, fields, maxlen=STREAM_ENTRIES_MAX, approximate=True)
        # Not `pipe.evalsha`, which the client of a Cluster refuses in a pipeline.
        pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        appended, counted = await pipe.execute(raise_on_error=False)
    if isinstance(appended, Exception):
        raise appended
    if isinstance(counted, NoScriptError):
        await script.run(client, keys, arguments)
    elif isinstance(counted, Exception):
        raise counted


class Day(NamedTuple):
    """The sums of one local day of a campaign."""

    day: int
    sums: dict[str, int]
    """By what."""
    line_items: dict[int, dict[str, int]]
    """By line item code, by what."""
    reasons: dict[str, int]
    """How often sampled requests were not bid on, or were, by the name of the reason."""


class Hour(NamedTuple):
    """The sums of one local hour; `hour` is the second it began in."""

    hour: int
    sums: dict[str, int]


async def delivered_days(client: redis.asyncio.Redis, campaign_code: int, days: Iterable[int]) -> list[Day]:
    """Return the days on which anything was delivered, in order. Raises redis.RedisError."""
    days = list(days)
    hashes = await _hashes(client, [redis_keys.delivered(campaign_code, day) for day in days])
    return [_day(day, fields) for day, fields in zip(days, hashes, strict=True) if fields]


async def delivered_hours(client: redis.asyncio.Redis, campaign_code: int, days: Iterable[int]) -> list[Hour]:
    """Return the hours of some local days that anything is known of, in order. Raises redis.RedisError."""
    hashes = await _hashes(client, [redis_keys.delivered_hours(campaign_code, day) for day in days])
    sums: dict[int, dict[str, int]] = {}
    for fields in hashes:
        for field, value in fields.items():
            hour, what = field.split(" ", 1)
            sums.setdefault(int(hour), {})[what] = value
    return [Hour(hour, sums[hour]) for hour in sorted(sums)]


async def reach_of(client: redis.asyncio.Redis, campaign_code: int, line_item_code: int = 0) -> int:
    """Estimate how many people saw a campaign, or one line item of it. Raises redis.RedisError."""
    return int(await client.pfcount(redis_keys.reach(campaign_code, line_item_code)))


async def sampled_frequencies(client: redis.asyncio.Redis, campaign_code: int) -> list[int]:
    """Return how many impressions each sampled person saw, ascending. Raises redis.RedisError."""
    (fields,) = await _hashes(client, [redis_keys.frequencies(campaign_code)])
    return sorted(times for rank, times in fields.items() if rank != "full")


async def forget_frequencies(
    client: redis.asyncio.Redis, campaign_codes: Sequence[int], user_hashes: Sequence[int]
) -> bool:
    """Take people out of the samples of campaigns; say whether they were there. Raises redis.RedisError."""
    found = False
    for start in range(0, len(campaign_codes), _READ_COMMANDS):
        async with client.pipeline(transaction=False) as pipe:
            for code in campaign_codes[start : start + _READ_COMMANDS]:
                ranks = [str(rank_of(user_hash, code)) for user_hash in user_hashes]
                pipe.execute_command("HDEL", redis_keys.frequencies(code), *ranks)
            found |= any(await pipe.execute())
    return found


async def _hashes(client: redis.asyncio.Redis, keys: Sequence[bytes]) -> list[dict[str, int]]:
    replies: list[Any] = []
    for start in range(0, len(keys), _READ_COMMANDS):
        async with client.pipeline(transaction=False) as pipe:
            for key in keys[start : start + _READ_COMMANDS]:
                pipe.hgetall(key)
            replies += await pipe.execute()
    return [
        {field.decode(): int(value) for field, value in cast(Mapping[bytes, bytes], reply).items()}
        for reply in replies
    ]


def _day(day: int, fields: Mapping[str, int]) -> Day:
    found = Day(day, {}, {}, {})
    for field, value in fields.items():
        first, _, rest = field.partition(" ")
        if field.startswith(WHY):
            found.reasons[rest] = value
        elif rest:
            found.line_items.setdefault(int(first), {})[rest] = value
        else:
            found.sums[field] = value
    return found
