"""Where one Redis server listens and how to enter it, from a URL or a client of redis-py.

endpoint = Endpoint.from_url("rediss://bidder:secret@redis.example?ssl_ca_certs=/ca.pem")
await endpoint.connect(wire)
commands, replies = endpoint.greeting()

redis-py reads the URL; the connection itself is ours (`segments.wire`).
"""

import asyncio
import copy
from typing import Any

import hiredis
import redis
import redis.asyncio


class Endpoint:
    """One server. Shown without its password."""

    def __init__(self, entry: Any) -> None:
        """`entry` is a connection of redis-py, which is read and never connected."""
        self._entry = entry

    @classmethod
    def from_url(cls, url: str) -> "Endpoint":
        """Raises redis.ConnectionError when the URL can't be read."""
        try:
            pool = redis.asyncio.ConnectionPool.from_url(url)
            return cls(pool.connection_class(**pool.connection_kwargs))
        except (ValueError, TypeError) as error:
            raise redis.ConnectionError(f"the Redis URL can't be used: {error}") from None

    @classmethod
    def of(cls, pool: Any) -> "Endpoint":
        """Lead where a pool's connections go, or those of one node of a Cluster's client."""
        return cls(pool.connection_class(**pool.connection_kwargs))

    def at(self, host: str, port: int) -> "Endpoint":
        """Return another server that is entered the same way: a node of the same Cluster."""
        entry = copy.copy(self._entry)
        entry.host, entry.port = host, port
        return Endpoint(entry)

    @property
    def host(self) -> str:
        return "" if self._is_socket_file else str(self._entry.host)

    @property
    def port(self) -> int:
        return 0 if self._is_socket_file else int(self._entry.port)

    def __str__(self) -> str:
        return f"Redis at {self._entry.path if self._is_socket_file else f'{self.host}:{self.port}'}"

    @property
    def _is_socket_file(self) -> bool:
        return isinstance(self._entry, redis.asyncio.UnixDomainSocketConnection)

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Connect a protocol to the server. Raises OSError."""
        loop, entry = asyncio.get_running_loop(), self._entry
        if self._is_socket_file:
            await loop.create_unix_connection(lambda: protocol, entry.path)
            return
        secure = entry.ssl_context.get() if isinstance(entry, redis.asyncio.SSLConnection) else None
        await loop.create_connection(lambda: protocol, entry.host, entry.port, ssl=secure)

    def greeting(self) -> tuple[bytes, int]:
        """Return packed commands and their number: log in, choose the database, see that it answers."""
        entry = self._entry
        commands: list[Any] = []
        if entry.password:
            commands.append(("AUTH", *([entry.username] if entry.username else []), entry.password))
        if entry.db:
            commands.append(("SELECT", entry.db))
        commands.append(("PING",))
        return b"".join(hiredis.pack_command(command) for command in commands), len(commands)
