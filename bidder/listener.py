"""A listening socket that a process shares with its successor and gives up without losing a caller.

    listener = await Listener.open(host, port, protocol_factory)
    ...
    await listener.close()           # whoever had connected by now is served

    limited(protocol_factory, lambda: len(connections), BID_CONNECTIONS_MAX)    # one more is closed at once

Every process that serves a port binds a socket of its own to it (SO_REUSEPORT), so that a new process
can begin before the old one ends. The kernel gives each new connection to one of the sockets and queues
it there until that process accepts it; closing the socket resets what is still in its queue. So a copy of
the socket outlives the event loop's, and is emptied once more: what is left to chance is the
microsecond between the last `accept` and `close`, and, with distant callers, a handshake under way. On
Linux 5.14 `net.ipv4.tcp_migrate_req=1` hands even these to the other sockets.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable

from config.limits import IDLE_SECONDS_MAX

BACKLOG = 1_024


class Listener:
    """One port of one process, open until `close`."""

    def __init__(
        self,
        server: asyncio.Server,
        copy: socket.socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        """`copy` is a duplicate of the server's socket."""
        self.port: int = copy.getsockname()[1]
        self._server = server
        self._copy = copy
        self._protocol_factory = protocol_factory

    @classmethod
    async def open(
        cls, host: str, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol]
    ) -> "Listener":
        """Listen on a host and port; port 0 is any free one. Raises OSError."""
        with contextlib.ExitStack() as unless_open:
            bound = unless_open.enter_context(bound_socket(host, port))
            copy = unless_open.enter_context(bound.dup())
            server = await asyncio.get_running_loop().create_server(
                protocol_factory, sock=bound, backlog=BACKLOG
            )
            unless_open.pop_all()
        return cls(server, copy, protocol_factory)

    async def close(self) -> None:
        """Stop listening; every connection that was made before is handed to a protocol."""
        self._server.close()
        waiting = []
        # Nothing is awaited between the last look at the queue and its end.
        self._copy.setblocking(False)
        while True:
            try:
                waiting.append(self._copy.accept()[0])
            except OSError:
                break
        self._copy.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol_factory, connection)


class _Refusal(asyncio.Protocol):
    """Ends its connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def limited(
    protocol_factory: Callable[[], asyncio.BaseProtocol], open_now: Callable[[], int], most: int
) -> Callable[[], asyncio.BaseProtocol]:
    """Return a factory that serves no more than `most` connections at one time."""
    return lambda: protocol_factory() if open_now() < most else _Refusal()


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to a port that other processes of this user may serve too. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as unless_bound:
        bound = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Inherited: an answer does not wait until the caller's kernel has acknowledged the one before. uvloop
        # sets it, too, but asyncio's own loop not on a socket it is given.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            # Inherited: a connection whose other end takes none of its answers for so long is given up.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, IDLE_SECONDS_MAX * 1_000)
        bound.bind((host, port))
        unless_bound.pop_all()
    return bound
