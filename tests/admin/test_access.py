"""The admin port elsewhere than on loopback: closed to whoever lacks the token."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from bidder.admin.access import only_by_address, only_with
from bidder.supervisor import Supervisor
from config.settings import Role, Settings, SettingsError, load_admin_token

TOKEN = b"t" * 40


def basic(name: str, password: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(name.encode() + b":" + password).decode()}


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    async def say(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    app = web.Application()
    app.middlewares.append(only_with(TOKEN))
    app.router.add_get("/{path:.*}", say)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def status(url: str, path: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as http, http.get(url + path, headers=headers) as response:
        if response.status == 401:
            assert "Basic" in response.headers["WWW-Authenticate"], "a browser asks for the password"
        return response.status


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {TOKEN.decode()}"}, basic("anyone", TOKEN), basic("", TOKEN)],
)
async def test_the_token_opens_it_for_prometheus_and_for_browsers(url: str, headers: dict[str, str]) -> None:
    for path in ("/metrics", "/status.json", "/"):
        assert await status(url, path, headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN.decode()}x"},
        {"Authorization": f"Bearer {TOKEN.decode()[:-1]}"},
        {"Authorization": f"Token {TOKEN.decode()}"},
        {"Authorization": "Basic ===="},
        {"Authorization": "Basic \u00fc"},
        basic("anyone", b""),
    ],
)
async def test_nothing_else_opens_it(url: str, headers: dict[str, str]) -> None:
    for path in ("/metrics", "/status.json", "/", "/live/../metrics", "/nowhere"):
        assert await status(url, path, headers) == 401


async def test_load_balancers_may_ask_whether_it_lives(url: str) -> None:
    for path in ("/live", "/ready"):
        assert await status(url, path, {}) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1:8082", 200), ("[::1]:8082", 200), ("localhost", 200), ("LOCALHOST:8082", 200)),
        *(("evil.example", 403), ("127.0.0.1.evil.example:8082", 403), ("[evil.example]", 403), ("", 403)),
        ("localhost.evil.example", 403),
    ],
)
async def test_without_a_token_no_page_gets_in_by_a_name_of_its_own(host: str, expected: int) -> None:
    async def say(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    app = web.Application(middlewares=[only_by_address()])
    app.router.add_get("/{path:.*}", say)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        for path, wanted in (("/status.json", expected), ("/", expected), ("/live", 200)):
            async with http.get(server.make_url(path), headers={"Host": host}) as response:
                assert response.status == wanted


def settings(**fields: object) -> Settings:
    known: dict[str, object] = {"redis_url": "", "secret_file": "", "data_dir": "", "metrics_dir": ""}
    ports = {"bid_port": 0, "events_port": 0, "admin_port": 0}
    return Settings(**known | ports | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "admin.example", "127.admin.example"])
async def test_without_a_token_it_listens_on_loopback_alone(host: str) -> None:
    engine = Supervisor("", 0, print, ())
    with pytest.raises(SettingsError, match="--admin-token"):
        await engine.serve(settings(admin_host=host))


async def test_with_a_token_it_may_listen_anywhere_and_where_it_does_not_run_nothing_is_asked(
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_bytes(TOKEN)
    token.chmod(0o600)
    await Supervisor("", 0, print, ()).serve(settings(admin_host="0.0.0.0", admin_token_file=str(token)))
    await Supervisor("", 0, print, ()).serve(settings(admin_host="0.0.0.0", roles=(Role.EVENTS,)))


def test_a_token_is_long_and_private(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("short")
    token.chmod(0o600)
    with pytest.raises(SettingsError, match="at least 32"):
        load_admin_token(token)
    token.write_bytes(TOKEN + b"\n")
    assert load_admin_token(token) == TOKEN
    token.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_admin_token(token)
