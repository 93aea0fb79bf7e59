"""Which partners' ids are which person: the links that cookie syncs make.

Problem: an exchange knows a browser by its own id and sends that, in `buyeruid`, `user.id` or `eids`; our
audiences and frequency caps are kept under the hash of our cookie. A sync shows us both at once. From
then on either must mean the same person, in a bid path that has one round trip to Redis for everyone.

A link is one directed fact, "this id is that person", and lies where the id's frequency caps would be. A
linked id has none, for what is known of the person is all in one place, under the person's hash:

    caps of the id      f:{s:0a3f1}<rest>           L <8 bytes of the person>     expires with the link
    kin of the person   {s:07c2d}:k  <rest>    ->   <expiry day> <8 bytes of each id>

So no command is asked for the sake of links. The look-up of any user brings the caps; that the string is
a link and no row of records shows by its length, and `pacing.caps.unpack_caps` reads it as no records.
Whoever is about to count an impression under a linked id is told the person by the same script that
would have counted it (`pacing/lua/record_impression.lua`), so a bid from before the sync counts too.
The records that the id had are put by in the step that links it, beside the link, until they are counted for
the person, who may be in another slot: whoever is broken off in between finds them at the next sync.

The bid path. A worker remembers links for a minute (`segments.link_memory`): an id seen a moment ago, which
most are, is looked up as the person at once, in the one round trip. Where the look-up of an id brings a
link, that request alone is looked up once more and decided apart. So each person costs each worker a
second round trip a minute, a request without a linked id nothing, and nobody is decided on by half of
what is known. A person's own hash is never linked, so there is no third.

The kin are for forgetting: without them all links would have to be searched for a person's. They are
buckets like those of `segments.store` and are swept like them.

Measured on Valkey 8.1 with 200,000 links: 100 bytes a link, and for a person's kin 46, fewer as buckets fill.

Rejected: the segments copied to every id (each write and each impression would have to find all copies);
links in buckets of their own (22 bytes each, but a third command for every foreign id, in vain for
most, and an impression under one would not know of the link); a link among the segments (every
reader and writer of values would have to know of links); a script that follows the link in Redis (the
two live in different slots of a Cluster); deciding a linked id as a stranger until the worker has
learned of it (each worker would waste every person's first request, and cap it twice); a table of all
links in each worker (a gigabyte for thirty million).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.limits import LINKS_PER_PERSON_MAX, RULE_DAYS_PER_USER_MAX, STORE_PIPELINE_COMMANDS_MAX
from segments.bitsets import DAY_BYTES, day_bytes
from segments.bucket_script import BucketScript
from segments.bulk import BulkConnections
from segments.location import BUCKET_SHIFT, BUCKETS, FIELD, caps_key, location

HASH_BYTES = 8
LINK_MARK = b"L"
LINK_BYTES = len(LINK_MARK) + HASH_BYTES
_LUA = Path(__file__).parent / "lua"
_KEEP_LINK = (_LUA / "keep_link.lua").read_text("utf-8")
_KEEP_KIN = (_LUA / "keep_kin.lua").read_text("utf-8")
_SWEEP_KIN = (_LUA / "sweep_kin.lua").read_text("utf-8")
_ADOPT = BucketScript("adopt_user")
_DROP = BucketScript("drop_user")


class Family(msgspec.Struct, frozen=True):
    """All the hashes that are one person: the person's own, and the ids linked to it."""

    person: int
    ids: tuple[int, ...] = ()

    @property
    def hashes(self) -> tuple[int, ...]:
        """All of them, the person first."""
        return (self.person, *self.ids)


class Linked(NamedTuple):
    """What `LinkStore.link` did. `caps`: the records counted for the id until it was linked, which are put by
    until `LinkStore.caps_counted`."""

    news: bool
    caps: bytes = b""


class LinkStore:
    """The links of one Redis. Every method raises redis.RedisError."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def link(
        self, id_hash: int, person: int, days: int, today: int, *, take_over: bool = True
    ) -> Linked:
        """Link an id to a person for some days, bringing the id's segments along; renew it daily.

        An id has one person: linked to another one before, it leaves that one, or without `take_over`
        stays there. A person has at most LINKS_PER_PERSON_MAX ids: the one linked longest ago makes
        room. Broken off half-way, it can be done again; meanwhile no link is in force that `family`
        does not find. The caller gives the caps it returns to the person, and says so to `caps_counted`.
        """
        assert id_hash != person
        before, seconds_left, put_by = await self._look(id_hash)
        former = linked_person(before)
        if former == person and seconds_left > (days - 1) * SECONDS_PER_DAY:
            return Linked(False, put_by)
        if former not in (None, person) and not take_over:
            return Linked(False)
        for dropped in await self._keep_kin(person, id_hash, today + days + 1):
            await self._client.delete(caps_key(int.from_bytes(dropped, "big")))
        link = LINK_MARK + person.to_bytes(HASH_BYTES, "big")
        seconds = days * SECONDS_PER_DAY
        keys = (caps_key(id_hash), _moving_caps_key(id_hash))
        done, *found = await self._eval(_KEEP_LINK, keys, link, seconds, int(take_over))
        if not done:
            await self._keep_kin(person, id_hash, None)
            return Linked(news=False)
        before, put_by = found
        former = linked_person(before)
        if former not in (None, person):
            await self._keep_kin(former, id_hash, None)
        await self._move_segments(id_hash, person, today)
        return Linked(former != person, put_by)

    async def caps_counted(self, id_hash: int) -> None:
        """Forget the caps that `link` told of: they are counted for the person."""
        await self._client.delete(_moving_caps_key(id_hash))

    async def resolve(self, hashes: Sequence[int]) -> list[int]:
        """Return whom each hash means: the person it is linked to, or itself."""
        people: list[int] = []
        for start in range(0, len(hashes), STORE_PIPELINE_COMMANDS_MAX):
            some = hashes[start : start + STORE_PIPELINE_COMMANDS_MAX]
            pipeline = self._client.pipeline(transaction=False)
            for id_hash in some:
                pipeline.execute_command("GET", caps_key(id_hash))
            values = await pipeline.execute()
            people += [linked_person(value) or h for h, value in zip(some, values, strict=True)]
        return people

    async def family(self, user_hash: int) -> Family:
        """Return all the hashes that are one person with this one, which may be the person's or an id's."""
        (person,) = await self.resolve([user_hash])
        stored: Any = await self._client.hget(*_kin_location(person))
        ids = _unpack_ids(stored or b"")
        return Family(person, ids if user_hash in (person, *ids) else (*ids, user_hash))

    async def forget_kin(self, family: Family) -> bool:
        """Forget who a person's ids were; say whether there were any. The links go with the ids' caps:
        delete what is held under each hash of the family first."""
        return bool(await self._client.hdel(*_kin_location(family.person)))

    async def sweep(self, today: int) -> int:
        """Delete the kin entries whose last link has expired; return how many there were."""
        name = await self._client.script_load(_SWEEP_KIN)
        commands = [
            ("EVALSHA", name, 1, redis_keys.kin(bucket), day_bytes(today)) for bucket in range(BUCKETS)
        ]
        async with BulkConnections.to(self._client) as bulk:
            return sum(await bulk.call(range(BUCKETS), commands))

    async def _look(self, id_hash: int) -> tuple[bytes | None, int, bytes]:
        """Return what lies where an id's link would, and for how many seconds more; and the caps put by."""
        key = caps_key(id_hash)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("GET", key)
        pipeline.execute_command("TTL", key)
        pipeline.execute_command("GET", _moving_caps_key(id_hash))
        value, seconds, put_by = await pipeline.execute()
        return value, seconds, put_by or b""

    async def _move_segments(self, id_hash: int, person: int, today: int) -> None:
        """Give an id's segments to the person. What a loader writes meanwhile stays for the next renewal."""
        key, field = location(id_hash)
        bucket = id_hash >> BUCKET_SHIFT
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("HGET", key, field)
        pipeline.execute_command("HGET", redis_keys.segment_days(bucket), field)
        value, record = await pipeline.execute()
        if value is None:
            return
        held = (value, record or b"")
        _, person_field = location(person)
        await _ADOPT.run(
            self._client, person >> BUCKET_SHIFT, today, person_field, RULE_DAYS_PER_USER_MAX, *held
        )
        await _DROP.run(self._client, bucket, field, *held)

    async def _keep_kin(self, person: int, id_hash: int, expiry_day: int | None) -> list[bytes]:
        key, field = _kin_location(person)
        day = b"" if expiry_day is None else day_bytes(expiry_day)
        id_bytes = id_hash.to_bytes(HASH_BYTES, "big")
        dropped: list[bytes] = await self._eval(_KEEP_KIN, (key,), field, id_bytes, day, LINKS_PER_PERSON_MAX)
        return dropped

    async def _eval(self, script: str, keys: Sequence[bytes], *arguments: bytes | int) -> Any:
        reply: Any = self._client.eval(script, len(keys), *keys, *arguments)
        return await reply


def linked_person(value: bytes | None) -> int | None:
    """Return the person a link names; None when the string is none: records, or nothing."""
    if value is None or len(value) != LINK_BYTES or not value.startswith(LINK_MARK):
        return None
    return int.from_bytes(value[len(LINK_MARK) :], "big")


def _moving_caps_key(id_hash: int) -> bytes:
    return redis_keys.moving_caps(id_hash.to_bytes(HASH_BYTES, "big"))


def _unpack_ids(value: bytes) -> tuple[int, ...]:
    starts = range(DAY_BYTES, len(value), HASH_BYTES)
    return tuple(int.from_bytes(value[start : start + HASH_BYTES], "big") for start in starts)


def _kin_location(person: int) -> tuple[bytes, bytes]:
    return redis_keys.kin(person >> BUCKET_SHIFT), person.to_bytes(HASH_BYTES, "big")[FIELD]
