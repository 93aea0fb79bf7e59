"""A config folder that an engine runs: published at the start, and again at each edit.

    await publish_config(client, Path("campaigns"), settings)
    await follow_folder(Path("campaigns"), settings)          # until cancelled

The folder is looked at four times a second: names, sizes and times of its files, which costs next to
nothing. When they have changed, and then not again for one look, so that half of a save is not read, the
files are read and checked beside the event loop, and what they say is published as `hustings config apply`
does it. What an edit changed goes to stderr, and so do warnings that the one before did not have. An edit
with a fault changes nothing. It is loud: every fault goes to stderr, and the edit into a record in Redis that
the admin port shows until it is mended (`config.refused_edit`).

A rollback is not undone by its folder: only the next edit is read.
"""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

import redis
import redis.asyncio

from bidder import logs
from bidder.cli.config_market import seen_by_ledger, warning_text, warnings_of
from bidder.cli.logged_changes import from_config, who
from bidder.redis_client import redis_client
from config import bundle_store, refused_edit
from config.diff import diff, totals
from config.faults import ConfigFaults
from config.folder_state import folder_state
from config.limits import REFUSED_EDIT_SECONDS_MAX
from config.load import ReadFolder, load_folder, read_folder
from config.price_keys import require_price_keys
from config.refused_edit import RefusedEdit
from config.schema import Bundle
from config.settings import Settings, SettingsError, load_secrets
from pacing.change_log import record
from segments.registry import RegistryError, SegmentRegistry

LOOK_SECONDS = 0.25
LINES_SAID_MAX = 20
"""Changes, and warnings, of one edit that go to stderr."""
_RENEW_SECONDS = REFUSED_EDIT_SECONDS_MAX / 4

_Look = tuple[tuple[str, int, int, int], ...]


async def publish_config(
    client: redis.asyncio.Redis, config: Path | Bundle | None, settings: Settings
) -> None:
    """Make a config the live one, unless it is already; None stands for the live one.

    Raises SettingsError when the prices of its exchanges can't be read, or what is live is not signed with
    our secret; ConfigFaults; and redis.RedisError.
    """
    key = load_secrets(Path(settings.secret_file)).bundle_key
    try:
        live = await bundle_store.fetch(client, key)
    except bundle_store.BundleUnreadableError as error:
        if config is None or error.reason == "forged":
            raise SettingsError(str(error)) from None
        # Another release wrote it, and it is about to be replaced.
        live = None
    if isinstance(config, Path):
        is_live = live is not None and live.read_from != "" and live.read_from == folder_state(config)
        config = live if is_live else load_folder(config)
    wanted = live if config is None else config
    require_price_keys(wanted.exchanges if wanted is not None else (), settings.price_keys_file)
    if wanted is not None and wanted is not live:
        try:
            await SegmentRegistry(client).declare(wanted.segments)
        except RegistryError as error:
            raise SettingsError(str(error)) from None
        by = f"{who('')}, hustings serve"
        await bundle_store.publish(client, wanted, key, by=by)
        await record(client, from_config(diff(live, wanted), by))


async def follow_folder(folder: Path, settings: Settings) -> None:
    """Publish a folder at each edit, for ever; `publish_config` has published it as it is now."""
    async with redis_client(settings.redis_url) as client:
        watched = _Watched(client, folder, settings)
        await watched.begin()
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await watched.look()
        finally:
            await watched.close()


class _Watched:
    """What is known of a folder between two looks."""

    def __init__(self, client: redis.asyncio.Redis, folder: Path, settings: Settings) -> None:
        self._client = client
        self._folder = folder
        self._settings = settings
        self._read: _Look | None = None
        self._seen: _Look | None = None
        self._state = ""
        self._refused: RefusedEdit | None = None
        self._noted_s = 0.0
        self._warned: frozenset[str] = frozenset()

    async def begin(self) -> None:
        """Learn what was published, so that an edit since then is seen."""
        with contextlib.suppress(redis.RedisError, OSError, bundle_store.BundleUnreadableError):
            live = await bundle_store.fetch(self._client)
            self._state = live.read_from if live is not None else ""

    async def look(self) -> None:
        """Publish the folder when it was edited, and keep alive the record of an edit that was refused."""
        seen = await asyncio.to_thread(_look_at, self._folder)
        settled, self._seen = seen == self._seen, seen
        if settled and seen != self._read:
            state = await asyncio.to_thread(folder_state, self._folder)
            # Files that were touched, or saved as they were, are no edit.
            if (state == self._state and state != "") or await self._publish():
                self._read, self._state = seen, state
        if self._refused is not None and time.monotonic() - self._noted_s > _RENEW_SECONDS:
            await self._note(self._refused)

    async def close(self) -> None:
        """Take back the record, when this engine ends."""
        if self._refused is not None:
            await self._note(None)

    async def _publish(self) -> bool:
        """Read and publish the folder, or refuse it; False when Redis is away and it is to be tried again."""
        faults: tuple[str, ...] = ()
        live: Bundle | None = None
        try:
            with contextlib.suppress(bundle_store.BundleUnreadableError):
                live = await bundle_store.fetch(self._client)
            read = await asyncio.to_thread(read_folder, self._folder)
            await publish_config(self._client, read.bundle, self._settings)
        except ConfigFaults as error:
            faults = tuple(map(str, error.faults))
        except SettingsError as error:
            faults = (str(error),)
        except (redis.RedisError, OSError):
            return False
        if not faults:
            logs.say(f"{self._folder} was edited: version {read.bundle.version} is live")
            changes = (*diff(live, read.bundle), *totals(live, read.bundle))
            _say_first([str(change) for change in changes], "change")
            if self._refused is not None:
                await self._note(None)
            with contextlib.suppress(redis.RedisError, OSError):
                await self._warn(read, live)
            return True
        for fault in faults[: refused_edit.FAULTS_SHOWN_MAX]:
            logs.say(fault)
        logs.say(f"{self._folder} is not applied, for what is said above: what was live stays live")
        await self._note(refused_edit.of(socket.gethostname(), str(self._folder), faults, int(time.time())))
        return True

    async def _warn(self, read: ReadFolder, live: Bundle | None) -> None:
        """Say what is legal and hardly meant, unless it was so before this edit."""
        seen = await seen_by_ledger(self._client, read.bundle, live)
        warnings = {warning.message: warning for warning in warnings_of(read, seen, int(time.time()))}
        _say_first(
            [warning_text(one) for text, one in warnings.items() if text not in self._warned], "warning"
        )
        self._warned = frozenset(warnings)

    async def _note(self, refused: RefusedEdit | None) -> None:
        """Show an edit as refused, or none any more. A Redis that is away is told later."""
        place = socket.gethostname(), str(self._folder)
        try:
            if refused is None:
                await refused_edit.clear(self._client, *place)
            else:
                await refused_edit.note(self._client, refused, int(time.time()))
        except (redis.RedisError, OSError):
            self._noted_s = 0.0
        else:
            self._noted_s = time.monotonic()
        self._refused = refused


def _say_first(lines: list[str], what: str) -> None:
    for line in lines[:LINES_SAID_MAX]:
        logs.say(line)
    if len(lines) > LINES_SAID_MAX:
        logs.say(f"and {len(lines) - LINES_SAID_MAX:,} more {what}s; `hustings config` tells them all")


def _look_at(folder: Path) -> _Look:
    """Return name, time, size and inode of every file; of a folder that is not there, nothing."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(root, name)
            try:
                stat = os.stat(path)
            except OSError:
                continue
            found.append((path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(sorted(found))
