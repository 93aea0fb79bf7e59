"""Where a URL leads is what counts: every address of its host, as resolved."""

import asyncio
import socket
from typing import Any

import pytest

from loadtest.addresses import addresses_of, host_of, is_loopback, names_loopback, origin_of, request_target
from loadtest.client import BidClient, NoticeClient
from loadtest.pool import TargetError
from tests.loadtest.hostile import NO_BID, hostile_target, saying
from tests.waiting import SECONDS_MAX

NAMED = "bidder.example"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://LocalHost/bid", "localhost:80"),
        ("https://bidder.example/bid?x=1", "bidder.example:443"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("HTTP://127.0.0.1:99", "127.0.0.1:99"),
    ],
)
def test_an_origin_is_a_host_and_a_port(url: str, text: str) -> None:
    assert str(origin_of(url)) == text


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "ftp://127.0.0.1/",
        "http:///bid",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:70000/",
        "http://me@127.0.0.1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
        "http://[::1",
        "http://bücher.example/",
    ],
)
def test_what_is_no_plain_url_has_no_origin(url: str) -> None:
    assert origin_of(url) is None
    assert host_of(url) == ""


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a.example", b"/"),
        ("http://a.example?x=1#y", b"/?x=1"),
        ("http://a.example/b/../c%20d?p=${X}&q=é#f", "/b/../c%20d?p=${X}&q=é".encode()),
    ],
)
def test_a_path_is_sent_byte_for_byte(url: str, target: bytes) -> None:
    assert request_target(url) == target


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_loopback_is_this_machine(address: str, expected: bool) -> None:
    assert is_loopback(address) == expected
    assert names_loopback(address) == expected


def test_a_name_is_loopback_by_itself_only_as_localhost() -> None:
    assert names_loopback("localhost")
    assert not names_loopback(NAMED)


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let one name have these addresses; others are resolved as ever."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        if host != NAMED:
            return real(host, port, *rest, **options)
        return [entry for address in addresses for entry in real(address, port, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_a_name_is_resolved_to_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "127.0.0.1", "192.0.2.7", "127.0.0.1")
    origin = origin_of(f"http://{NAMED}:81/")
    assert origin is not None
    assert await addresses_of(origin) == ("127.0.0.1", "192.0.2.7")


async def test_a_name_that_leads_here_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "127.0.0.1")
    async with hostile_target(saying(NO_BID)) as url, BidClient(url.replace("127.0.0.1", NAMED), 1) as client:
        assert (await client.ask(b"{}")).status == 204


async def test_one_address_elsewhere_makes_a_target_another_s(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "127.0.0.1", "192.0.2.7")
    with pytest.raises(TargetError, match=r"bidder.example \(192.0.2.7\) is not this machine; add --i-own-"):
        await BidClient(f"http://{NAMED}/bid", 1).__aenter__()


async def test_a_target_that_is_owned_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.0.0.0 reaches the target, but is no loopback address."""
    resolving_to(monkeypatch, "0.0.0.0")
    async with hostile_target(saying(NO_BID)) as url:
        elsewhere = url.replace("127.0.0.1", NAMED)
        async with BidClient(elsewhere, 1, is_owned=True) as client:
            assert (await client.ask(b"{}")).status == 204
        with pytest.raises(TargetError, match="is not this machine"):
            await BidClient(elsewhere, 1).__aenter__()


async def test_a_notice_s_name_is_resolved_before_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "127.0.0.1", "192.0.2.7")
    async with NoticeClient() as client:
        assert not await client.may_call(f"http://{NAMED}/win", is_owned=False)
        assert await client.may_call(f"http://{NAMED}/win", is_owned=True)
        assert await client.may_call("http://localhost:1/win", is_owned=False)
        assert not await client.may_call("javascript:alert(1)", is_owned=True)


async def test_a_name_that_moves_after_it_was_judged_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "127.0.0.1")
    last = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    async with (
        hostile_target(saying(last, then_close=True)) as url,
        BidClient(url.replace("127.0.0.1", NAMED), 1) as client,
    ):
        resolving_to(monkeypatch, "192.0.2.7")
        answers = [await client.ask(b"{}") for _ in range(3)]
    # Each answer costs the connection, and each new one goes where the first did.
    assert [answer.failure or answer.status for answer in answers] == [204] * 3


async def test_only_so_many_hosts_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.client.NOTICE_ORIGINS_MAX", 2)
    async with NoticeClient() as client:
        known = [await client.may_call(f"http://127.0.0.1:{port}/", is_owned=False) for port in (1, 2, 3, 1)]
    assert known == [True, True, False, True]


async def test_a_notice_to_nobody_has_no_status() -> None:
    async with NoticeClient() as client, asyncio.timeout(SECONDS_MAX):
        assert await client.call("http://127.0.0.1:1/win") == 0
        assert await client.call("http://no.such.host.invalid/win") == 0
