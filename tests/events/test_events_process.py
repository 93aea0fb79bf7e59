"""The events process as the supervisor runs it: start, config changes, graceful end, refusals to start."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import redis.asyncio

from bidder.cli.serve import running_engine
from bidder.events.directory import LiveDirectory
from bidder.openrtb.notice_token import TokenSigner
from config import bundle_store, redis_keys
from config.money import BILLION
from config.schema import Bundle, ExchangeProfile, code_of
from config.settings import SettingsError, load_secrets
from pacing.ledger import Ledger
from tests.events.factories import BID_MINUTE, CAMPAIGN, CREATIVE, LINE_ITEM, OWNER, bundle
from tests.events.processes import bundle_key, child, settings
from tests.running import running_events
from tests.waiting import SECONDS_MAX

MODULE = "bidder.events.main"


def signed(secret_file: str, creative: str = CREATIVE) -> str:
    signer = TokenSigner(load_secrets(Path(secret_file)).notice_key)
    codes = (code_of(LINE_ITEM), code_of(CAMPAIGN), code_of(creative), code_of("plain"))
    return signer.sign(0, *codes, OWNER, BID_MINUTE, 1, BID_MINUTE * 60 + 10, 5_000_000, 0).decode()


async def paused_clients(client: redis.asyncio.Redis) -> int:
    """How many clients wait, in the middle of a command, for CLIENT UNPAUSE."""
    clients = await client.client_list()
    return sum("b" in described["flags"] for described in clients)


async def accepts(port: int) -> bool:
    """Tell whether a port takes connections; one that is reset at once was not taken."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    except ConnectionError:
        return False
    return True


async def test_a_request_under_way_is_answered_before_the_process_ends(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    given = settings(redis_url, tmp_path)
    await bundle_store.publish(redis_client, bundle(), bundle_key(given))
    ledger = Ledger(redis_client)
    await ledger.register(code_of(CAMPAIGN), CAMPAIGN, 100 * BILLION, None, "UTC")
    with child(MODULE, given) as process:
        port = await asyncio.to_thread(process.wait_until_ready)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            url = f"/bill?p=2&t={signed(given.secret_file)}"
            await redis_client.client_pause(SECONDS_MAX * 1_000, all=False)
            bill = asyncio.create_task(session.get(url))
            async with asyncio.timeout(SECONDS_MAX):
                while not await paused_clients(redis_client):
                    pass
            process.terminate()
            async with asyncio.timeout(SECONDS_MAX):
                while await accepts(port):
                    pass
            await redis_client.client_unpause()
            async with await bill as response:
                assert response.status == 204
        status, errors = await asyncio.to_thread(process.end)
    assert (status, "Traceback" in errors) == (0, False)
    # If all this took longer than a process waits for Redis, the bill was kept, and the next one books it.
    async with running_events(redis_url, tmp_path), asyncio.timeout(SECONDS_MAX):
        while not (account := await ledger.account(code_of(CAMPAIGN))) or not account.spent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert account.spent == 2_000_000


async def test_a_new_config_is_followed_without_a_restart(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    given = settings(redis_url, tmp_path)
    with child(MODULE, given) as process:
        port = await asyncio.to_thread(process.wait_until_ready)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def landing() -> str | None:
                url = f"/click?t={signed(given.secret_file)}"
                async with session.get(url, allow_redirects=False) as response:
                    return response.headers.get("Location")

            assert await landing() is None
            for version in ("v1", "v2"):
                url = f"https://shop.example/{version}"
                await bundle_store.publish(
                    redis_client, bundle(version=version, landing_url=url), bundle_key(given)
                )
                async with asyncio.timeout(SECONDS_MAX):
                    while await landing() != url:
                        pass
        process.terminate()
        status, _ = await asyncio.to_thread(process.end)
    assert status == 0


async def test_it_ends_with_its_supervisor(redis_url: str, tmp_path: Path) -> None:
    with child(MODULE, settings(redis_url, tmp_path)) as process:
        await asyncio.to_thread(process.wait_until_ready)
        process.close_stdin()
        status, errors = await asyncio.to_thread(process.end)
    assert (status, "Traceback" in errors) == (0, False)


async def test_what_it_cannot_use_is_one_sentence_and_exit_status_2(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    async def refusal(redis_url: str, port: int = 0) -> str:
        with child(MODULE, settings(redis_url, tmp_path, events_port=port)) as process:
            status, errors = await asyncio.to_thread(process.end)
        said = [line for line in errors.splitlines() if line.startswith("hustings: ")]
        assert (status, len(said), "Traceback" in errors) == (2, 1, False)
        return said[0]

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in await refusal(redis_url, taken.getsockname()[1])
    await redis_client.set(redis_keys.BUNDLE, b"\xc1 of another release")
    assert "hustings config apply" in await refusal(redis_url)


async def test_the_engine_does_not_start_without_the_price_keys_of_a_live_exchange(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    sealed = msgspec.structs.replace(
        bundle(), exchanges=(ExchangeProfile(id="adx", price_encryption="google"),)
    )

    async def refusal(published: Bundle | None, price_keys_file: str = "") -> str:
        given = msgspec.structs.replace(settings(redis_url, tmp_path), price_keys_file=price_keys_file)
        with pytest.raises(SettingsError) as caught:
            async with running_engine(given, published):
                pass
        return str(caught.value)

    assert "adx encrypts its prices" in await refusal(sealed)
    assert await bundle_store.fetch(redis_client) is None
    await bundle_store.publish(redis_client, sealed, bundle_key(settings(redis_url, tmp_path)))
    assert "--price-keys" in await refusal(None)
    assert "can't read the price-keys file" in await refusal(bundle(), str(tmp_path / "absent"))


async def test_a_config_that_needs_keys_and_comes_later_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> AsyncIterator[Bundle]:
        yield msgspec.structs.replace(
            bundle(), exchanges=(ExchangeProfile(id="adx", price_encryption="google"),)
        )

    await LiveDirectory(None, {}).follow(later())
    assert "adx encrypts its prices and there are no keys for it" in caplog.text
