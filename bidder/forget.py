"""Forgetting a person: everywhere, under every id we know of the person, and with proof.

    forgotten = await forget(client, identity.hash(source, user_id), now_s)
    assert not forgotten.left

What is held of a person, and what becomes of it:

    segments, and the days of those that events filled      deleted        `segments.bit_days`
    frequency caps                                          deleted        `pacing.caps`
    links between the person's ids                          deleted        `segments.links`
    which campaigns they saw how often, if sampled          deleted        `pacing.delivery`
    event streams, and the registers of reach               never named a person
    notices on their way, for ads shown until now           not written: a mark under each id says
                                                            so, for hours or until tomorrow's end

A file or an inbox that names the person afterwards adds the person anew: take the id out of the
sources first.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from pacing.caps import FORGOTTEN, forget_caps
from pacing.delivery import forget_frequencies
from segments.bit_days import UserBits
from segments.links import LinkStore
from segments.location import BUCKET_SHIFT, caps_key, location

_MARK_BYTES = 4
"""A day record that is nothing but the mark of a forgotten person."""


class Forgotten(msgspec.Struct, frozen=True):
    """What was there, and what a second look found."""

    ids: int
    """How many ids the person was known by, this one included."""
    segments: bool
    caps: bool
    links: bool
    frequencies: bool
    left: tuple[str, ...]
    """What is still held: nothing, or the work of somebody who writes the person at this moment."""

    @property
    def anything(self) -> bool:
        """Tell whether anything was held."""
        return self.segments or self.caps or self.links or self.frequencies


async def forget(client: redis.asyncio.Redis, user_hash: int, now_s: int) -> Forgotten:
    """Forget whoever a hash means. Broken off, it can be done again. Raises redis.RedisError."""
    today = now_s // SECONDS_PER_DAY
    users, links = UserBits(client), LinkStore(client)
    family = await links.family(user_hash)
    segments = caps = False
    # The id that was asked for keeps its link to the last: a second attempt starts from it again.
    others = [hash_ for hash_ in family.hashes if hash_ != user_hash]
    for hash_ in others:
        segments |= await users.forget(hash_, today)
        caps |= await forget_caps(client, hash_)
    linked = await links.forget_kin(family)
    segments |= await users.forget(user_hash, today)
    caps |= await forget_caps(client, user_hash)
    members: Any = await client.smembers(redis_keys.CAMPAIGNS)
    frequencies = await forget_frequencies(client, sorted(map(int, members)), family.hashes)
    return Forgotten(
        ids=len(family.hashes),
        segments=segments,
        caps=caps,
        links=linked,
        frequencies=frequencies,
        left=await what_is_left(client, family.hashes),
    )


async def what_is_left(client: redis.asyncio.Redis, hashes: Sequence[int]) -> tuple[str, ...]:
    """Look, with reads alone, for what is held under some hashes. Raises redis.RedisError."""
    found: dict[str, None] = {}
    for user_hash in hashes:
        key, field = location(user_hash)
        bucket = user_hash >> BUCKET_SHIFT
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("HEXISTS", key, field)
        pipeline.execute_command("HEXISTS", redis_keys.kin(bucket), field)
        pipeline.execute_command("GET", caps_key(user_hash))
        pipeline.execute_command("EXISTS", redis_keys.moving_caps(user_hash.to_bytes(8, "big")))
        pipeline.execute_command("HSTRLEN", redis_keys.segment_days(bucket), field)
        replies: Any = await pipeline.execute()
        segments, kin, caps, moving, days_bytes = replies
        held = {
            "segments": segments,
            "links": kin,
            "frequency caps": caps not in (None, FORGOTTEN) or moving,
            "days of segments": days_bytes > _MARK_BYTES,
        }
        found |= {what: None for what, there in held.items() if there}
    return tuple(found)
