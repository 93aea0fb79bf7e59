"""`hustings config`: check, compare and publish a campaign folder."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bidder.cli.config_market import reaches, seen_by_engine, seen_by_ledger, warning_text, warnings_of
from bidder.cli.logged_changes import ByOption, from_config, who
from bidder.cli.redis_option import (
    DATA_DIR_DEFAULT,
    DataOption,
    RedisOption,
    redis_or_exit,
    redis_url,
    say_and_exit,
)
from bidder.redis_client import redis_client
from config.bundle_store import BundleUnreadableError, Seal, fetch, fetch_kept, history, publish
from config.diff import Change, diff, totals
from config.faults import ConfigFaults, Fault
from config.json_schema import KINDS, json_schema
from config.load import ReadFolder, read_folder
from config.schema import Bundle
from config.settings import SettingsError, shared_secrets
from config.warnings import Seen
from pacing.change_log import record
from segments.registry import RegistryError, SegmentRegistry

app = typer.Typer(help="Check, compare and publish campaigns.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder with engine.yaml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for a program to read.")]


@app.command("check")
def check_command(
    folder: Folder,
    audiences: Annotated[
        bool,
        typer.Option("--audiences", help="Ask Redis about people and floors; --redis does, too."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 if there is a warning.")] = False,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Find every fault of a config folder, exit status 2 if there is one, and warn of what is silly."""
    read = _read(folder, as_json)
    bundle, seen, asks = read.bundle, Seen(), audiences or redis is not None
    if asks:
        url = redis_url(redis, data)
        with redis_or_exit(url):
            seen = asyncio.run(_seen(url, bundle))
    warnings = warnings_of(read, seen, int(time.time()))
    if as_json:
        found = {"too_small": seen.few} if asks else {}
        _echo_json({"ok": True, "version": bundle.version, **_counts(bundle), "warnings": warnings, **found})
    else:
        summary = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in _counts(bundle).items())
        typer.echo(f"{folder} is sound: {summary} (version {bundle.version})")
        _warn(warnings)
    if strict and warnings:
        raise typer.Exit(1)


@app.command("diff")
def diff_command(
    folder: Folder,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show what applying a config folder would change."""
    read = _read(folder, as_json)
    url = redis_url(redis, data)
    with redis_or_exit(url):
        live = asyncio.run(_fetch(url, None))
        if isinstance(live, BundleUnreadableError):
            say_and_exit(str(live))
        reach = asyncio.run(_reach(url, live, read.bundle))
        warnings = asyncio.run(_warnings(url, read, live))
    _report(live, read.bundle, "nothing would change", as_json, reach, warnings)


@app.command("apply")
def apply_command(
    folder: Folder,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
    by: ByOption = "",
    sign_anew: Annotated[
        bool, typer.Option("--sign-anew", help="Replace a live config that another secret signed.")
    ] = False,
) -> None:
    """Check a config folder, sign it and make it the live one in every process."""
    read = _read(folder, as_json)
    bundle = read.bundle
    url = redis_url(redis, data)
    key = _bundle_key(data)
    with redis_or_exit(url):
        live = asyncio.run(_fetch(url, key))
        if isinstance(live, BundleUnreadableError) and live.reason == "forged" and not sign_anew:
            say_and_exit(f"nothing was applied: {live}")
        # An unreadable bundle is mended by applying over it; then everything counts as new.
        before = None if isinstance(live, BundleUnreadableError) else live
        warnings = asyncio.run(_warnings(url, read, before))
        asyncio.run(_publish(url, before, bundle, key, who(by)))
    _report(before, bundle, "nothing changed", as_json, warnings=warnings)
    if not as_json:
        typer.echo(f"version {bundle.version} is live")


@app.command("history")
def history_command(
    redis: RedisOption = None, data: DataOption = DATA_DIR_DEFAULT, as_json: JsonOption = False
) -> None:
    """List the configs that were live, the newest first; `rollback` goes back to any of them."""
    url = redis_url(redis, data)
    with redis_or_exit(url):
        seals = asyncio.run(_history(url))
    if as_json:
        _echo_json([{**msgspec.structs.asdict(seal), "live": not place} for place, seal in enumerate(seals)])
        return
    if not seals:
        typer.echo("no config was ever applied here")
    for place, seal in enumerate(seals):
        at = datetime.fromtimestamp(seal.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        parts = [f"#{seal.number}", seal.version, at, seal.by, seal.note, "" if place else "live"]
        typer.echo("  ".join(part for part in parts if part))


@app.command("rollback")
def rollback_command(
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="A version or #number of `history`; else the one before."),
    ] = None,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
    by: ByOption = "",
) -> None:
    """Make an earlier config live again; the folder it came from is not touched."""
    url = redis_url(redis, data)
    key = _bundle_key(data)
    with redis_or_exit(url):
        seal = _wanted(asyncio.run(_history(url)), version)
        bundle = asyncio.run(_fetch_kept(url, seal, key))
        live = asyncio.run(_fetch(url, key))
        before = None if isinstance(live, BundleUnreadableError) else live
        asyncio.run(_publish(url, before, bundle, key, who(by), f"rollback to #{seal.number}"))
    _report(before, bundle, "nothing changed", as_json)
    if not as_json:
        typer.echo(f"version {bundle.version} is live again")


@app.command("schema")
def schema_command(
    kind: Annotated[
        str | None, typer.Argument(metavar=f"[{'|'.join(KINDS)}]", help="Of one kind of file; else of all.")
    ] = None,
) -> None:
    """Print the JSON Schema of the config files, for editors."""
    if kind is not None and kind not in KINDS:
        say_and_exit(f"there is no kind of file `{kind}`; it is one of {', '.join(KINDS)}")
    _echo_json(json_schema(kind))


def _read(folder: Path, as_json: bool) -> ReadFolder:
    try:
        return read_folder(folder)
    except ConfigFaults as error:
        if as_json:
            _echo_json({"ok": False, "faults": error.faults})
        else:
            for fault in error.faults:
                typer.echo(str(fault), err=True)
        raise typer.Exit(2) from None


def _counts(bundle: Bundle) -> dict[str, int]:
    campaigns = [campaign for advertiser in bundle.advertisers for campaign in advertiser.campaigns]
    return {
        "advertisers": len(bundle.advertisers),
        "campaigns": len(campaigns),
        "line_items": sum(len(campaign.line_items) for campaign in campaigns),
        "creatives": sum(len(advertiser.creatives) for advertiser in bundle.advertisers),
        "segments": len(bundle.segments),
    }


def _warn(warnings: tuple[Fault, ...]) -> None:
    for warning in warnings:
        typer.echo(warning_text(warning), err=True)


def _report(
    before: Bundle | None,
    after: Bundle,
    nothing: str,
    as_json: bool,
    reach: tuple[Change, ...] = (),
    warnings: tuple[Fault, ...] | None = None,
) -> None:
    """`warnings`: of the folder that `after` was read from, if it was."""
    changes = (*diff(before, after), *totals(before, after), *reach)
    if as_json:
        version_before = before.version if before is not None else None
        told = {"version_before": version_before, "version": after.version, "changes": changes}
        _echo_json(told if warnings is None else {**told, "warnings": warnings})
        return
    for change in changes:
        typer.echo(str(change))
    if not changes:
        typer.echo(nothing)
    _warn(warnings or ())


def _bundle_key(data: Path) -> bytes:
    """Return what the installation signs configs with; exits with status 2 when its secret is not at hand."""
    try:
        return shared_secrets(data, "a config is signed").bundle_key
    except SettingsError as error:
        say_and_exit(str(error))


def _wanted(seals: tuple[Seal, ...], version: str | None) -> Seal:
    """Return the seal that a person named; exits with status 2 when it is none, or not one."""
    if not seals:
        say_and_exit("there was never a config here to go back to; see `hustings config apply DIR`")
    if version is None:
        earlier = [seal for seal in seals if seal.version != seals[0].version]
        if not earlier:
            say_and_exit("there is no earlier config to go back to; see `hustings config history`")
        return earlier[0]
    number = version.removeprefix("#")
    found = [seal for seal in seals if str(seal.number) == number]
    found = found or [seal for seal in seals if seal.version.startswith(version)]
    if len({seal.version for seal in found}) != 1:
        what = "several configs begin" if found else "no config that is kept begins"
        say_and_exit(f"{what} with `{version}`; see `hustings config history`")
    return found[0]


async def _history(url: str) -> tuple[Seal, ...]:
    async with redis_client(url) as client:
        return await history(client)


async def _fetch_kept(url: str, seal: Seal, key: bytes) -> Bundle:
    async with redis_client(url) as client:
        try:
            bundle = await fetch_kept(client, seal.version, key)
        except BundleUnreadableError as error:
            say_and_exit(f"#{seal.number} can't be made live again: {error}")
    return bundle or say_and_exit(f"version {seal.version} is not kept any more")


async def _fetch(url: str, key: bytes | None) -> Bundle | BundleUnreadableError | None:
    async with redis_client(url) as client:
        try:
            return await fetch(client, key)
        except BundleUnreadableError as error:
            return error


async def _publish(
    url: str, before: Bundle | None, bundle: Bundle, key: bytes, by: str, note: str = ""
) -> None:
    async with redis_client(url) as client:
        # First, for a segment that is another owner's must not go live.
        try:
            await SegmentRegistry(client).declare(bundle.segments)
        except RegistryError as error:
            say_and_exit(str(error))
        await publish(client, bundle, key, by=by, note=note)
        await record(client, from_config(diff(before, bundle), by))


async def _reach(url: str, before: Bundle | None, after: Bundle) -> tuple[Change, ...]:
    async with redis_client(url) as client:
        return await reaches(client, before, after)


async def _seen(url: str, bundle: Bundle) -> Seen:
    live = await _fetch(url, None)
    async with redis_client(url) as client:
        return await seen_by_engine(client, bundle, None if isinstance(live, BundleUnreadableError) else live)


async def _warnings(url: str, read: ReadFolder, live: Bundle | None) -> tuple[Fault, ...]:
    async with redis_client(url) as client:
        return warnings_of(read, await seen_by_ledger(client, read.bundle, live), int(time.time()))


def _echo_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
