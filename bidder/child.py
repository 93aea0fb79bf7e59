"""How every process of the engine starts and stops.

The supervisor starts `python -m bidder.<part>.main`, writes the `Settings` as one line of JSON to its
standard input, as soon as it has them, and keeps that pipe open. The child answers with one line,
`ready <port>`, when it can serve. It ends gracefully on SIGTERM, and also when the pipe closes: a
supervisor that dies, however suddenly, leaves nothing running.

    if __name__ == "__main__":
        run(serve)        # async def serve(settings, announce_ready, stop): ...
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import redis
import uvloop

from bidder import logs
from bidder.redis_client import why_unusable
from config.settings import Settings, SettingsError

SETTINGS_LINE_BYTES_MAX = 64 * 1024
PROCESS_ENV = "HUSTINGS_PROCESS"
"""What the supervisor calls this process, for its log."""
EXIT_UNUSABLE = 2
"""Exit status when settings, config or a needed server can't be used; the reason is on stderr."""

Serve = Callable[[Settings, Callable[[int], None], asyncio.Event], Awaitable[None]]


def run(serve: Serve, prepare: Callable[[], None] | None = None) -> None:
    """Run one process until it is told to stop; exit 2 with one sentence when it can't start.

    `prepare` is what can be done before the settings come.
    """
    logs.configure("text", "")
    # Ctrl-C goes to the whole terminal group; the supervisor decides who stops when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if prepare is not None:
        prepare()
    line = _settings_line()
    if not line:
        # The supervisor ended before it had any.
        return
    settings = Settings.from_json(line)
    logs.configure(settings.log_format, os.environ.get(PROCESS_ENV, ""))
    try:
        uvloop.run(_until_stopped(serve, settings))
    except SettingsError as error:
        sys.exit(_said(str(error)))
    except redis.RedisError as error:
        sys.exit(_said(f"Redis can't be used: {why_unusable(error)}"))
    except OSError as error:
        sys.exit(_said(f"{error.strerror or error}"))


def _settings_line() -> bytes:
    # Unbuffered: the event loop reads the same descriptor for end-of-file later on.
    line = b""
    while not line.endswith(b"\n") and len(line) < SETTINGS_LINE_BYTES_MAX:
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _said(sentence: str) -> int:
    logs.say(sentence)
    return EXIT_UNUSABLE


async def _until_stopped(serve: Serve, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def supervisor_gone() -> None:
        if not os.read(0, 4_096):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, supervisor_gone)
    await serve(settings, _announce_ready, stop)


def _announce_ready(port: int) -> None:
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
