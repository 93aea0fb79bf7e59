"""An advertiser's own door: a stream that one Redis user may write, and one trusted reader who applies it.

    reader = InboxReader(client)                              # the keeper of audiences (`bidder.admin`)
    await reader.bound("oak")
    await reader.drain("oak", today, now_s)

The advertiser's loader is a `segments.inbox_sink.InboxSink`; any program that writes such entries will do.

Problem: one advertiser's loader must not write another's bits, and all bits of a cookie are one value under
one key. Redis can keep a user from a key, a command or a channel, but not from half a value. So a
loader gets no access to the store at all. Its Redis user (`inbox_acl`) may XADD to one stream and read
the answers in another, nothing else: no cookie, no name of anyone's segment.

    oak's loader  ──XADD──►  hustings:inbox:oak  ──XREADGROUP──►  reader  ──merge──►  cookies
                                                                    │ registry: which bits are oak's
                  ◄──XRANGE──  hustings:inbox:oak:faults  ◄────────┘

An entry is a change of up to INBOX_ENTRY_USERS_MAX people:

    users      their hashes, 8 bytes each, big-endian, end to end     (`segments.identity`)
    segments   one line of names for each, apart by |                 gardeners|-renters
    mode       add (also when absent), remove or replace              as in `segments.loader`
    days       how long they stay; 30 when absent

Ids do not travel: the producer hashes them. The key it needs for that, derived from the installation's
secret and good for nothing else, tells nothing to whoever can't read the store.

An entry is acknowledged and deleted when it has been applied; after a crash it is applied again, in
its old place before all later ones, which changes nothing. Names that are not the advertiser's are
refused one by one into the stream of faults, the rest of the entry holds.

Redis sets no bound to what a user may write, so the reader does: twice a second, also while it applies
what came before, it looks how long an inbox is and what memory it takes. Past INBOX_ENTRIES_MAX or
INBOX_BYTES_MAX it drops the oldest entries, and the faults say how many; our loader waits before that. It
reads no more than it has measured, and inboxes take turns, so who floods one holds up nobody else's.

Rejected: a Redis function that checks who calls (it can't know); a key for each owner and cookie (a look-up
would read one for each advertiser); ids in clear on the stream (they would be at rest in its file).
"""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
import redis
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.limits import (
    INBOX_BYTES_MAX,
    INBOX_ENTRIES_MAX,
    INBOX_ENTRY_BYTES_MAX,
    INBOX_ENTRY_USERS_MAX,
    INBOX_FAULTS_MAX,
    INBOX_TURN_ENTRIES_MAX,
    SEGMENT_TTL_DAYS_MAX,
)
from segments.bit_days import UserBits
from segments.loader import LoadOptions, Mode
from segments.registry import Load, SegmentRegistry
from segments.rows import Rows
from segments.store_sink import Permitted, changes_of

GROUP = "hustings"
_CONSUMER = "keeper"
HASH_BYTES = 8
_DAYS_DEFAULT = 30
_DAYS_DIGITS_END = 10
_MODES: tuple[Mode, ...] = ("add", "remove", "replace")


class Drained(msgspec.Struct, frozen=True):
    """What was taken from one inbox."""

    entries: int = 0
    cookies: int = 0
    refused: int = 0
    dropped: int = 0
    """Entries that were not looked at, because too much was waiting."""


class Bounded(msgspec.Struct, frozen=True):
    """One inbox within its limits."""

    entries: int
    """That wait in it."""
    dropped: int


class _Change(msgspec.Struct, frozen=True):
    """An entry that could be read."""

    entry_id: bytes
    mode: Mode
    days: int
    hashes: tuple[int, ...]
    names: tuple[str, ...]
    """One line of names for each hash."""


class InboxReader:
    """Applies inboxes; one at a time in the whole installation."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._users, self._registry = UserBits(client), SegmentRegistry(client)

    async def waiting(self, advertisers: Iterable[str]) -> list[str]:
        """Return the advertisers in whose inboxes something waits. Raises redis.RedisError."""
        advertisers = list(advertisers)
        pipeline = self._client.pipeline(transaction=False)
        for advertiser in advertisers:
            pipeline.xlen(redis_keys.inbox(advertiser))
        lengths = await pipeline.execute() if advertisers else []
        return [advertiser for advertiser, length in zip(advertisers, lengths, strict=True) if length]

    async def bound(self, advertiser: str) -> Bounded:
        """Drop the oldest entries of an inbox that is past its limits. Raises redis.RedisError."""
        key, dropped = redis_keys.inbox(advertiser), 0
        while True:
            pipeline = self._client.pipeline(transaction=False)
            # In this order: what was counted is in what was measured, whatever comes between.
            pipeline.xlen(key)
            pipeline.memory_usage(key, samples=0)
            entries, octets = await pipeline.execute()
            if not entries or (entries <= INBOX_ENTRIES_MAX and (octets or 0) <= INBOX_BYTES_MAX):
                break
            kept = min(INBOX_ENTRIES_MAX, entries // 2 if octets > INBOX_BYTES_MAX else entries)
            dropped += await self._client.xtrim(key, maxlen=kept, approximate=False)
        if dropped:
            reason = (
                f"{dropped:,} entries were dropped: the inbox may take {INBOX_BYTES_MAX:,} bytes "
                f"and {INBOX_ENTRIES_MAX:,} entries"
            )
            await self._refuse(advertiser, [(b"", 0, reason)])
        return Bounded(entries, dropped)

    async def drain(self, advertiser: str, today: int, now_s: int) -> Drained:
        """Apply what waits in one inbox, INBOX_TURN_ENTRIES_MAX at most.

        Raises redis.RedisError; then what was not applied is still there.
        """
        key = redis_keys.inbox(advertiser)
        with contextlib.suppress(redis.ResponseError):  # the group is there already
            await self._client.xgroup_create(key, GROUP, id="0", mkstream=True)
        bounded = await self.bound(advertiser)
        # What an earlier reader took and did not finish comes first, as it did then.
        entries = await self._read(key, "0", INBOX_TURN_ENTRIES_MAX)
        if not entries and bounded.entries:
            # New entries are the last: these are among the measured ones.
            entries = await self._read(key, ">", min(bounded.entries, INBOX_TURN_ENTRIES_MAX))
        done = Drained()
        if there := [(entry_id, fields) for entry_id, fields in entries if fields]:
            done = await self._apply(advertiser, there, today, now_s)
        if entries:
            ids = [entry_id for entry_id, _ in entries]
            # In this order: what is acknowledged and not deleted would wait there for ever.
            await self._client.xdel(key, *ids)
            await self._client.xack(key, GROUP, *ids)
        return msgspec.structs.replace(done, dropped=bounded.dropped)

    async def _read(self, key: bytes, start: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        reply: Any = await self._client.xreadgroup(GROUP, _CONSUMER, {key: start}, count=count)
        streams = reply.items() if isinstance(reply, dict) else reply or ()
        # Pending entries that were dropped meanwhile come without fields.
        return [(entry_id, fields or {}) for _, entries in streams for entry_id, fields in entries]

    async def _apply(
        self,
        advertiser: str,
        entries: Sequence[tuple[bytes, dict[bytes, bytes]]],
        today: int,
        now_s: int,
    ) -> Drained:
        faults: list[tuple[bytes, int, str]] = []
        changes = []
        for entry_id, fields in entries:
            try:
                changes.append(_read_entry(entry_id, fields))
            except ValueError as error:
                faults.append((entry_id, 0, str(error)))
        definitions, retired = await self._registry.describe(), await self._registry.retired()
        cookies, touched = 0, set[int]()
        for (mode, days), run in groupby(changes, key=lambda change: (change.mode, change.days)):
            options = LoadOptions(mode=mode, owner=advertiser, ttl_days=days)
            permitted = Permitted(definitions, retired, options)
            rows, hashes, places = _as_rows(list(run))
            found = changes_of(rows, permitted, options)
            await self._users.merge(
                hashes[found.rows],
                found.clear,
                found.set,
                found.common,
                expiry_day=0 if mode == "remove" else today + days,
                today=today,
            )
            cookies += len(found.rows)
            bits, _ = permitted.bits_of(rows.names)
            touched.update(bits[bits >= 0].tolist())
            faults += [(*places[row], reason) for row, reason in rows.faults.items()]
        await self._refuse(advertiser, faults)
        if touched:
            await self._registry.note_load(sorted(touched), Load(now_s, "inbox"))
        return Drained(len(entries), cookies, len(faults))

    async def _refuse(self, advertiser: str, faults: Sequence[tuple[bytes, int, str]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        # Earlier ones would be trimmed, and a million of them hold up all that the process does besides.
        for entry_id, line, reason in faults[-INBOX_FAULTS_MAX:]:
            entry: Any = {"entry": entry_id, "line": line, "reason": reason}
            pipeline.xadd(redis_keys.inbox_faults(advertiser), entry, maxlen=INBOX_FAULTS_MAX)
        await pipeline.execute()


def inbox_acl(advertiser: str, password: str) -> str:
    """Return the `ACL SETUSER` command of the Redis user of an advertiser's loader.

    The password is in it as its SHA-256, so the line may be kept in a file.
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    inbox, faults = redis_keys.inbox(advertiser).decode(), redis_keys.inbox_faults(advertiser).decode()
    return (
        f"ACL SETUSER {inbox_user(advertiser)} reset on #{digest} ~{inbox} +xadd +xlen "
        # What a client says when it connects, to a server or a Cluster.
        "+ping +client|setinfo +command +cluster|slots +cluster|shards +cluster|nodes "
        f"(%R~{faults} +xrange +xrevrange +xlen)"
    )


def inbox_user(advertiser: str) -> str:
    """Return the name of the Redis user of an advertiser's loader."""
    return f"hustings-{advertiser}"


def _read_entry(entry_id: bytes, fields: dict[bytes, bytes]) -> _Change:
    """Raises ValueError with the reason why an entry can't be applied."""
    size = sum(map(len, fields.values()))
    if size > INBOX_ENTRY_BYTES_MAX:
        raise ValueError(f"an entry may have {INBOX_ENTRY_BYTES_MAX:,} bytes, and this has {size:,}")
    octets = fields.get(b"users", b"")
    n, rest = divmod(len(octets), HASH_BYTES)
    if rest or not 1 <= n <= INBOX_ENTRY_USERS_MAX:
        raise ValueError(f"`users` must hold 1 to {INBOX_ENTRY_USERS_MAX:,} hashes of {HASH_BYTES} bytes")
    try:
        names = tuple(fields.get(b"segments", b"").decode().split("\n"))
    except UnicodeDecodeError:
        raise ValueError("`segments` is not valid UTF-8") from None
    if len(names) != n:
        raise ValueError(f"`segments` has {len(names)} lines for {n} users")
    mode = fields.get(b"mode", b"add").decode("ascii", "replace")
    if mode not in _MODES:
        raise ValueError(f"`mode` is one of {', '.join(_MODES)}")
    days = fields.get(b"days", b"%d" % _DAYS_DEFAULT)
    if not (days.isdigit() and len(days) < _DAYS_DIGITS_END and 1 <= int(days) <= SEGMENT_TTL_DAYS_MAX):
        raise ValueError(f"`days` is a number from 1 to {SEGMENT_TTL_DAYS_MAX}")
    hashes = tuple(np.frombuffer(octets, ">u8").tolist())
    return _Change(entry_id, mode, int(days), hashes, names)


def _as_rows(
    changes: Sequence[_Change],
) -> tuple[Rows, NDArray[np.uint64], list[tuple[bytes, int]]]:
    """Return the changes as rows of a file, their hashes, and the entry and line each came from."""
    lines = [[name for name in line.split("|") if name] for change in changes for line in change.names]
    codes: dict[str, int] = {}
    members = [codes.setdefault(name, len(codes)) for line in lines for name in line]
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:])
    rows = Rows(
        lines=np.arange(len(lines)),
        ids=None,
        sources=None,
        names=[*codes],
        member_offsets=offsets,
        member_names=np.array(members, np.int32),
        faults={},
        broken_lines=[],
        rows_done=len(lines),
        bytes_done=0,
    )
    hashes = np.array([user_hash for change in changes for user_hash in change.hashes], np.uint64)
    places = [(change.entry_id, line) for change in changes for line in range(1, len(change.names) + 1)]
    return rows, hashes, places
