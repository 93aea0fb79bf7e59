"""The Redis of an installation: can it hold a ledger, and is it quick enough for look-ups?

`ask` reads what one server says of itself; `redis_findings` says what that means. Where CONFIG is forbidden,
as managed services do, what only CONFIG tells is unknown.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec
import redis
import redis.asyncio

from bidder.doctor.finding import Finding, fail, ok, unknown, warn
from config.embedded_server import LISTPACK_ENTRIES_MAX, LISTPACK_VALUE_BYTES_MAX
from config.limits import LOOKUP_TIMEOUT_MS

VERSION_WANTED = (7, 0)
VERSION_MIN = (6, 2)
PINGS = 21
PING_MS_WANTED = LOOKUP_TIMEOUT_MS / 4
CLOCK_SECONDS_WANTED = 1.0
CLOCK_SECONDS_MAX = 30.0
MEMORY_SHARE_WANTED = 0.85
_SETTINGS = {
    "hash-max-listpack-entries": LISTPACK_ENTRIES_MAX,
    "hash-max-listpack-value": LISTPACK_VALUE_BYTES_MAX,
}


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one server said. `settings` is None where CONFIG is forbidden."""

    name: str
    info: Mapping[str, Any]
    settings: Mapping[str, str] | None
    clock_ahead_s: float
    """Of ours."""
    ping_ms: Sequence[float]


async def ask(client: redis.asyncio.Redis) -> list[ServerFacts]:
    """Ask the server, or each primary of a Cluster. Raises redis.RedisError."""
    # The one client's type stands for both (`bidder.redis_client`).
    primaries = getattr(client, "get_primaries", None)
    if primaries is not None:
        await client.initialize()
        return [await _ask(client, node.name, target_nodes=node) for node in primaries()]
    return [await _ask(client, "Redis")]


async def _ask(client: Any, name: str, **target: Any) -> ServerFacts:
    info = await client.execute_command("INFO", "everything", **target)
    try:
        found = await client.execute_command("CONFIG GET", "*", **target)
    except redis.ResponseError:
        settings = None
    else:
        settings = {_text(key): _text(value) for key, value in dict(found).items()}
    began_s = time.time()
    seconds, micros = await client.execute_command("TIME", **target)
    ended_s = time.time()
    pings = []
    for _ in range(PINGS):
        start_s = time.perf_counter()
        await client.execute_command("PING", **target)
        pings.append((time.perf_counter() - start_s) * 1_000)
    ahead_s = int(seconds) + int(micros) / 1e6 - (began_s + ended_s) / 2
    return ServerFacts(name=name, info=info, settings=settings, clock_ahead_s=ahead_s, ping_ms=pings)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def redis_findings(facts: ServerFacts) -> Iterator[Finding]:
    """Yield what a server's facts mean for the engine."""
    info, name = facts.info, facts.name
    yield _version(name, info)
    if info.get("role", "master") != "master":
        yield fail(f"{name}: role", "it is a replica, and takes no writes", "name its primary with --redis")
    if info.get("loading"):
        yield fail(f"{name}: loading", "it is reading its data", "wait; it answers when it is done")
    yield from _persistence(name, info, facts.settings)
    yield from _memory(name, info)
    yield from _layout(name, facts.settings)
    check, middle_ms = f"{name}: latency", median(facts.ping_ms)
    says = f"a PING takes {middle_ms:.2f} ms, at worst {max(facts.ping_ms):.1f} ms of {len(facts.ping_ms)}"
    mend = "bring it nearer, or look at its processor and `slowlog get`"
    if middle_ms > LOOKUP_TIMEOUT_MS:
        yield fail(check, f"{says}; look-ups may take {LOOKUP_TIMEOUT_MS} ms", mend)
    elif middle_ms > PING_MS_WANTED:
        yield warn(check, f"{says}; look-ups may take {LOOKUP_TIMEOUT_MS} ms", mend)
    else:
        yield ok(check, says)
    yield _clock(name, facts.clock_ahead_s)


def _version(name: str, info: Mapping[str, Any]) -> Finding:
    check = f"{name}: version"
    kind, text = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", "")
    text = str(text or info.get("redis_version", "0"))
    version = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if version < VERSION_MIN:
        return fail(check, f"{kind} {text}", "Valkey 8, or Redis 7 or newer")
    if version < VERSION_WANTED:
        return warn(check, f"{kind} {text}, with which nobody has tried it", "Valkey 8, or Redis 7 or newer")
    return ok(check, f"{kind} {text}")


def _persistence(name: str, info: Mapping[str, Any], settings: Mapping[str, str] | None) -> Iterator[Finding]:
    check = f"{name}: persistence"
    failed = [
        field
        for field in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(field, "ok") != "ok"
    ]
    if failed:
        yield fail(check, f"{', '.join(failed)}: its disk refuses", "look at its log, and make room")
    elif not info.get("aof_enabled"):
        mend = "`appendonly yes` and `appendfsync everysec` in its config"
        yield fail(check, "no append-only file: a restart forgets budgets and bills", mend)
    elif settings is not None and settings.get("appendfsync") == "no":
        yield warn(check, "appendfsync is no: a crash forgets up to half a minute", "`appendfsync everysec`")
    else:
        yield ok(check, "an append-only file")


def _memory(name: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    check, policy = f"{name}: memory", str(info.get("maxmemory_policy", "noeviction"))
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    says = f"{used / 1e9:.2f} GB used" + (f" of {limit / 1e9:.2f}" if limit else "")
    if policy != "noeviction":
        says = f"maxmemory-policy is {policy}: budgets and audiences are thrown away when memory is short"
        yield fail(check, says, "`maxmemory-policy noeviction`")
    elif limit and used > MEMORY_SHARE_WANTED * limit:
        yield warn(check, says, "raise maxmemory; a full Redis refuses writes, and bidding stops")
    else:
        yield ok(check, says)


def _layout(name: str, settings: Mapping[str, str] | None) -> Iterator[Finding]:
    check = f"{name}: compact hashes"
    if settings is None:
        yield unknown(check, "it does not show its settings (CONFIG is forbidden)")
        return
    # Servers before 7.0 have the older names alone.
    low = [
        (setting, wanted)
        for setting, wanted in _SETTINGS.items()
        if int(settings.get(setting) or settings.get(setting.replace("listpack", "ziplist")) or 0) < wanted
    ]
    if low:
        wanted = ", ".join(f"`{setting} {value}`" for setting, value in low)
        yield warn(check, "audiences take about twice the memory they could", wanted)
    else:
        yield ok(check, "audiences stay in the compact encoding")


def _clock(name: str, ahead_s: float) -> Finding:
    check = f"{name}: clock"
    says = f"{abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
    mend = "let NTP keep both clocks: notices are dated by this host's, leases by Redis's"
    if abs(ahead_s) > CLOCK_SECONDS_MAX:
        return fail(check, says, mend)
    if abs(ahead_s) > CLOCK_SECONDS_WANTED:
        return warn(check, says, mend)
    return ok(check, says)
