"""An advertiser's own door: a stream that one Redis user may write, and one trusted reader who applies it.

    sink = InboxSink(client, "oak", options)                  # the advertiser's loader, or any program
    reader = InboxReader(client)                              # the keeper of audiences (`bidder.admin`)
    await reader.drain("oak", today)

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
refused one by one into the stream of faults, the rest of the entry holds. A stream past
INBOX_ENTRIES_MAX loses its oldest entries, and the faults say how many: our loader waits before that.

Rejected: a Redis function that checks who calls (it can't know); a key for each owner and cookie (a look-up
would read one for each advertiser); ids in clear on the stream (they would be at rest in its file).
"""

import asyncio
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
    INBOX_ENTRIES_MAX,
    INBOX_ENTRY_USERS_MAX,
    INBOX_FAULTS_MAX,
    INBOX_WAIT_SECONDS_MAX,
    SEGMENT_TTL_DAYS_MAX,
)
from segments.bit_days import UserBits
from segments.loader import LoadOptions, Mode
from segments.registry import Load, SegmentRegistry, name_fault
from segments.rows import Rows
from segments.segment_file import LoadError
from segments.store_sink import Permitted, changes_of, check_ttl

GROUP = "hustings"
_CONSUMER = "keeper"
_HASH_BYTES = 8
_ENTRIES_A_READ = 1_000
_DAYS_DEFAULT = 30
_DAYS_DIGITS_END = 10
_PAUSE_SECONDS = 0.05
_MODES: tuple[Mode, ...] = ("add", "remove", "replace")


class Drained(msgspec.Struct, frozen=True):
    """What was taken from one inbox."""

    entries: int = 0
    cookies: int = 0
    refused: int = 0


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

    async def drain(self, advertiser: str, today: int, now_s: int) -> Drained:
        """Apply all that waits in one inbox. Raises redis.RedisError; then the rest is still there."""
        key = redis_keys.inbox(advertiser)
        with contextlib.suppress(redis.ResponseError):  # the group is there already
            await self._client.xgroup_create(key, GROUP, id="0", mkstream=True)
        await self._trim(advertiser, key)
        total = Drained()
        # What an earlier reader took and did not finish comes first, as it did then.
        for start in ("0", ">"):
            while entries := await self._read(key, start):
                done = await self._apply(advertiser, entries, today, now_s)
                total = Drained(
                    total.entries + done.entries, total.cookies + done.cookies, total.refused + done.refused
                )
                ids = [entry_id for entry_id, _ in entries]
                await self._client.xack(key, GROUP, *ids)
                await self._client.xdel(key, *ids)
        return total

    async def _read(self, key: bytes, start: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        reply: Any = await self._client.xreadgroup(GROUP, _CONSUMER, {key: start}, count=_ENTRIES_A_READ)
        streams = reply.items() if isinstance(reply, dict) else reply or ()
        # Pending entries that were trimmed meanwhile come without fields.
        return [(entry_id, fields or {}) for _, entries in streams for entry_id, fields in entries]

    async def _trim(self, advertiser: str, key: bytes) -> None:
        dropped = await self._client.xtrim(key, maxlen=INBOX_ENTRIES_MAX, approximate=False)
        if dropped:
            reason = f"{dropped} entries were dropped: more than {INBOX_ENTRIES_MAX:,} were waiting"
            await self._refuse(advertiser, [(b"", 0, reason)])

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


class InboxSink:
    """Sends rows to an advertiser's inbox: the sink of a loader without access to the store."""

    def __init__(self, client: "redis.asyncio.Redis", advertiser: str, options: LoadOptions) -> None:
        """Raises LoadError for days that nobody is kept."""
        check_ttl(options.ttl_days)
        self._client = client
        self._key, self._faults_key = redis_keys.inbox(advertiser), redis_keys.inbox_faults(advertiser)
        self._options = options
        self._faults_before: int | None = None
        self.refused = 0
        """What the reader refused while this loader ran; known when it has finished."""

    async def take(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """See `segments.loader.Sink`. Waits while the inbox is half full."""
        if self._faults_before is None:
            self._faults_before = await self._client.xlen(self._faults_key)
        lines = self._lines(rows)
        good = np.delete(np.arange(len(rows.lines)), sorted(rows.faults))
        for start in range(0, len(good), INBOX_ENTRY_USERS_MAX):
            part = good[start : start + INBOX_ENTRY_USERS_MAX]
            await self._wait_until_shorter_than(INBOX_ENTRIES_MAX // 2)
            entry: Any = {
                "users": hashes[part].astype(">u8").tobytes(),
                "segments": "\n".join(lines[row] for row in part.tolist()),
                "mode": self._options.mode,
                "days": self._options.ttl_days,
            }
            await self._client.xadd(self._key, entry)
        return good

    async def finish(self, source: str) -> None:
        """Wait until everything is applied. Raises LoadError when nobody does."""
        await self._wait_until_shorter_than(1)
        if self._faults_before is not None:
            self.refused = max(0, await self._client.xlen(self._faults_key) - self._faults_before)

    def _lines(self, rows: Rows) -> list[str]:
        bad = {
            code: fault
            for code, name in enumerate(rows.names)
            if name and (fault := name_fault(name.removeprefix("-")))
        }
        offsets, codes = rows.member_offsets.tolist(), rows.member_names.tolist()
        lines = []
        for row in range(len(rows.lines)):
            members = codes[offsets[row] : offsets[row + 1]]
            for code in members:
                if code in bad:
                    rows.faults.setdefault(row, bad[code])
            lines.append("|".join(rows.names[code] for code in members))
        return lines

    async def _wait_until_shorter_than(self, entries: int) -> None:
        try:
            async with asyncio.timeout(INBOX_WAIT_SECONDS_MAX):
                while await self._client.xlen(self._key) >= entries:  # noqa: ASYNC110 - Redis tells nobody when
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            raise LoadError(
                f"nobody has emptied the inbox for {INBOX_WAIT_SECONDS_MAX} seconds: the engine is not "
                "running, or far behind; what was sent will be applied, and the same command sends the rest"
            ) from None


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
    octets = fields.get(b"users", b"")
    n, rest = divmod(len(octets), _HASH_BYTES)
    if rest or not 1 <= n <= INBOX_ENTRY_USERS_MAX:
        raise ValueError(f"`users` must hold 1 to {INBOX_ENTRY_USERS_MAX:,} hashes of {_HASH_BYTES} bytes")
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
