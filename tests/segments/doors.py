"""Other ways to a Redis server for tests: a TLS door and a socket file in front of its TCP port."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


class _Door:
    def __init__(self, redis_url: str) -> None:
        self._target = urlsplit(redis_url)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


@asynccontextmanager
async def socket_file_door(redis_url: str, folder: Path) -> AsyncIterator[str]:
    """Yield a `unix://` URL of the server's database."""
    path = folder / "redis.sock"
    target = urlsplit(redis_url)
    password = target.password
    server = await asyncio.start_unix_server(_Door(redis_url), path)
    async with server:
        yield f"unix://{f':{password}@' if password else ''}{path}?db={target.path.strip('/') or 0}"


@asynccontextmanager
async def tls_door(redis_url: str, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """Yield a `rediss://` URL of the server and the certificate to trust; skips without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    target = urlsplit(redis_url)
    password = target.password
    server = await asyncio.start_server(_Door(redis_url), "localhost", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"rediss://{f':{password}@' if password else ''}localhost:{port}{target.path}", certificate
