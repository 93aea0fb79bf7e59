"""A Redis that asks for TLS, a certificate of ours, a user and a password: a real server of that kind.

The engine's two ways to Redis are tried: redis-py's clients, and the look-ups' own connection.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis

from bidder.cli.redis_option import REDIS_FILE_ENV
from bidder.redis_client import redis_client
from config.embedded_server import free_port
from segments.lookup import UserLookup
from tests.test_engine import run_hustings
from tests.waiting import SECONDS_MAX

USER, PASSWORD = "engine", "a-password-of-the-test"
TIMEOUT_MS = 5_000


class Certificates:
    """An authority, a server's certificate for localhost, and a client's, made by openssl."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "ca.pem"
        self._folder = folder
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", "/CN=test authority", "-keyout", str(folder / "ca.key"), "-out", str(self.authority)),
        )

    def issued(self, name: str) -> tuple[Path, Path]:
        """Return a certificate and its key."""
        certificate, key, request = (self._folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        names = self._folder / "names"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.authority), "-days", "2"),
            *("-CAkey", str(self._folder / "ca.key"), "-CAcreateserial"),
            *("-extfile", str(names), "-out", str(certificate)),
        )
        return certificate, key


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=SECONDS_MAX)


def tls_server() -> str:
    """The first server of this machine that speaks TLS; skips without one."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates, and is not installed")
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and b"libssl" in Path(os.path.realpath(found)).read_bytes():
            return found
    pytest.skip("no valkey-server or redis-server with TLS on the path; the embedded one is built without")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates, and is not installed")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def port(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that takes only TLS, certificates of its authority, and one user."""
    binary, folder, port = tls_server(), tmp_path_factory.mktemp("tls-server"), free_port()
    certificate, key = certificates.issued("server")
    process = subprocess.Popen(
        [
            *(binary, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(certificates.authority), "--tls-auth-clients", "yes"),
            *("--user", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all", "--user", "default", "off"),
            *("--save", "", "--logfile", str(folder / "server.log")),
        ]
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)


@pytest_asyncio.fixture
async def url(port: int, certificates: Certificates) -> AsyncIterator[str]:
    """How a client that may gets in; given out when the server answers."""
    certificate, key = certificates.issued("client")
    found = f"rediss://{USER}:{PASSWORD}@localhost:{port}/0?" + "&".join(
        (f"ssl_ca_certs={certificates.authority}", f"ssl_certfile={certificate}", f"ssl_keyfile={key}")
    )
    async with asyncio.timeout(SECONDS_MAX), redis_client(found) as client:
        while True:
            with contextlib.suppress(redis.ConnectionError):
                await client.ping()
                break
            await asyncio.sleep(0.05)
    yield found


async def test_both_ways_to_redis_get_in_with_certificate_user_and_password(url: str) -> None:
    async with redis_client(url) as client:
        assert await client.set("key", "value")
        assert await client.get("key") == b"value"
    lookup = await UserLookup.connect(url, TIMEOUT_MS)
    answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    lookup.fetch([1, 2], lambda values, missing: answered.set_result((values, missing)))
    assert await answered == ([None] * 4, ())
    await lookup.close()


def changed(url: str, part: str, other: str) -> str:
    assert part in url
    return url.replace(part, other)


async def refused(url: str) -> None:
    async with redis_client(url) as client:
        with pytest.raises(redis.RedisError):
            await client.ping()
    with pytest.raises(redis.RedisError):
        await UserLookup.connect(url, TIMEOUT_MS)


async def test_without_a_certificate_of_ours_nobody_gets_in(url: str) -> None:
    await refused(url.partition("&")[0])


async def test_a_wrong_password_or_user_does_not_get_in(url: str) -> None:
    await refused(changed(url, PASSWORD, "another"))
    await refused(changed(url, f"{USER}:", "default:"))


async def test_a_server_of_another_authority_is_not_trusted(url: str, tmp_path: Path) -> None:
    stranger = Certificates(tmp_path).authority
    authority = url.partition("ssl_ca_certs=")[2].partition("&")[0]
    await refused(changed(url, authority, str(stranger)))


async def test_the_url_may_be_in_a_private_file_and_its_password_is_in_no_message(
    url: str, tmp_path: Path
) -> None:
    file = tmp_path / "redis-url"
    file.write_text(url + "\n")
    file.chmod(0o600)
    _, _, err = await run_hustings("budget", "status", env={REDIS_FILE_ENV: str(file)})
    assert "no config" in err, "it got in, and found an empty server"
    file.write_text(changed(url, PASSWORD, "another"))
    code, out, err = await run_hustings("budget", "status", env={REDIS_FILE_ENV: str(file)})
    assert code == 2
    assert "another" not in out + err
    assert "localhost" in err
    file.chmod(0o644)
    code, _, err = await run_hustings("budget", "status", env={REDIS_FILE_ENV: str(file)})
    assert code == 2
    assert "chmod 600" in err
