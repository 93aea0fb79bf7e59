"""`hustings doctor`: whether this host, its Redis and its files are fit for the engine."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import redis
import typer
from rich.table import Table
from rich.text import Text

from bidder.cli.redis_option import DATA_DIR_DEFAULT, RedisOption, checked_url
from bidder.cli.whole import print_whole
from bidder.doctor.finding import Finding, fail, ok, warn
from bidder.doctor.host import facts, host_findings, port_finding
from bidder.doctor.installation import admin_finding, folder_findings, price_finding, secret_findings
from bidder.doctor.redis_server import ask, redis_findings
from bidder.redis_client import live_bundle, redis_client, why_unusable
from config.embedded_server import EmbeddedServerError, running_url, server_binary
from config.redis_address import without_password
from config.schema import Bundle
from config.settings import ADMIN_TOKEN_ENV, PRICE_KEYS_ENV, SettingsError, load_secrets, secret_path

_EXIT_UNFIT = 1
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}
Host = Annotated[str, typer.Option(help="As for `hustings serve`.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="As for `hustings serve`.")]


def doctor(
    config: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Campaign folder; else what is in Redis is looked at.")
    ] = None,
    redis_url: RedisOption = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data folder.")] = DATA_DIR_DEFAULT,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Bid workers.")] = 2,
    bid_host: Host = "127.0.0.1",
    bid_port: Port = 8080,
    events_host: Host = "127.0.0.1",
    events_port: Port = 8081,
    admin_host: Host = "127.0.0.1",
    admin_port: Port = 8082,
    admin_token: Annotated[str, typer.Option(metavar="FILE", envvar=ADMIN_TOKEN_ENV)] = "",
    price_keys: Annotated[str, typer.Option(metavar="FILE", envvar=PRICE_KEYS_ENV)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a host with the options of `hustings serve`; exit status 1 when the engine should not run so."""
    found = [
        *host_findings(facts(data), workers, data),
        port_finding("bid", bid_host, bid_port),
        port_finding("events", events_host, events_port),
        port_finding("admin", admin_host, admin_port),
        admin_finding(admin_host, admin_token),
        *secret_findings(secret_path(data), shared=redis_url is not None),
    ]
    bundle = None
    if config is not None:
        bundle, said = folder_findings(config)
        found += said
    url = checked_url(redis_url) if redis_url is not None else running_url(data)
    if url is None:
        found.append(_private_server())
    else:
        live, said = asyncio.run(_redis(url, secret_path(data), look_for_config=config is None))
        bundle = bundle or live
        found += said
    if bundle is not None:
        found.append(price_finding(bundle, price_keys))
    _show(found, as_json)
    if any(finding.level == "fail" for finding in found):
        raise typer.Exit(_EXIT_UNFIT)


def _private_server() -> Finding:
    try:
        return ok("Redis", f"a private server is started with the engine: {server_binary()}")
    except EmbeddedServerError as error:
        return fail("Redis", str(error), "as it says")


async def _redis(url: str, secret: Path, *, look_for_config: bool) -> tuple[Bundle | None, list[Finding]]:
    found: list[Finding] = []
    bundle = None
    async with redis_client(url) as client:
        try:
            for server in await ask(client):
                found += redis_findings(server)
            if look_for_config:
                bundle, said = await _live_config(client, secret)
                found.append(said)
        except (redis.RedisError, OSError) as error:
            says = f"{without_password(url)} can't be used: {why_unusable(error)}"
            found.append(
                fail("Redis", says, "is it up, is the address right, is there a way through the network?")
            )
    return bundle, found


async def _live_config(client: redis.asyncio.Redis, secret: Path) -> tuple[Bundle | None, Finding]:
    key = None
    with contextlib.suppress(SettingsError):
        key = load_secrets(secret).bundle_key
    try:
        bundle = await live_bundle(client, key)
    except SettingsError as error:
        return None, fail("config", str(error), "as it says")
    if bundle is None:
        return None, warn("config", "none is published", "`hustings config apply DIR`, or serve --config DIR")
    return bundle, ok("config", f"version {bundle.version} is published")


def _show(found: list[Finding], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"findings": found}))
        return
    table = Table("", "what", "how it is", "how to mend it")
    for row in _rows(found):
        table.add_row(*row)
    print_whole(table)


def _rows(found: list[Finding]) -> Iterator[tuple[Text, ...]]:
    for finding in found:
        yield (
            Text(finding.level, _STYLES[finding.level]),
            Text(finding.check),
            Text(finding.says),
            Text(finding.mend),
        )
