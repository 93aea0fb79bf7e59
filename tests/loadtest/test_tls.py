"""A target over TLS: its certificate must be good, and good for the name."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.client import BidClient
from loadtest.pool import TargetError
from tests.loadtest.hostile import NO_BID, hostile_target, request_of, speaking_first
from tests.waiting import SECONDS_MAX


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that vouches for itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-out", str(certificate), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
        timeout=SECONDS_MAX,
    )
    return certificate, key


@pytest.fixture
async def port(certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await request_of(reader)
                writer.write(NO_BID)
        except asyncio.IncompleteReadError:
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_trusted_certificate_for_the_name_is_talked_to(
    port: int, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with BidClient(f"https://localhost:{port}/bid", 2) as client:
        assert [(await client.ask(b"{}")).status for _ in range(3)] == [204] * 3


async def test_a_certificate_for_another_name_is_refused(
    port: int, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with pytest.raises(TargetError, match=r"can't agree on TLS .*127\.0\.0\.1"):
        await BidClient(f"https://127.0.0.1:{port}/bid", 1).__aenter__()


async def test_a_certificate_that_nobody_vouches_for_is_refused(port: int) -> None:
    with pytest.raises(TargetError, match="can't agree on TLS"):
        await BidClient(f"https://localhost:{port}/bid", 1).__aenter__()


async def test_a_target_without_tls_is_told_apart() -> None:
    async with hostile_target(speaking_first) as url:
        with pytest.raises(TargetError, match="can't agree on TLS"):
            await BidClient(url.replace("http:", "https:"), 1).__aenter__()
