"""`hustings keys`: the keys that sign notices, and a new one without losing a notice."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from bidder.cli.redis_option import DATA_DIR_DEFAULT, say_and_exit
from bidder.cli.whole import print_whole
from config.notice_keys import KEY_BYTES, KeyFile, Keyring
from config.settings import SettingsError, secret_path, shared_secrets

WAIT_MINUTES_DEFAULT = 10
WAIT_MINUTES_MAX = 7 * 24 * 60

app = typer.Typer(help="The keys that sign notices.", no_args_is_help=True)
DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Data folder; HUSTINGS_SECRET_FILE goes before it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(name="list")
def list_keys(data: DataOption = DATA_DIR_DEFAULT, as_json: JsonOption = False) -> None:
    """Show which key signs, and whose notices still count. No key is shown."""
    _, ring = _opened(data)
    _show(ring, as_json)


@app.command()
def rotate(
    wait: Annotated[
        int,
        typer.Option(
            min=0, max=WAIT_MINUTES_MAX, help="Minutes until the new key signs: every host needs it before."
        ),
    ] = WAIT_MINUTES_DEFAULT,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add a key that signs from some minutes on; the one before counts as long as its notices may come."""
    file, ring = _opened(data)
    try:
        ring = ring.rotated(int(time.time()), wait * 60, secrets.token_bytes(KEY_BYTES))
        file.write(ring)
    except SettingsError as error:
        say_and_exit(str(error))
    _show(ring, as_json)
    typer.echo(
        f"{file.path}: bring it to every host within {wait} minutes; nothing has to be restarted", err=True
    )


@app.command()
def drop(
    key_id: Annotated[int, typer.Argument(metavar="ID", min=0, help="The key's number.")],
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Refuse a key's notices from now on, as of one that became known. What was won with it is not booked."""
    file, ring = _opened(data)
    try:
        ring = ring.without(key_id)
        file.write(ring)
    except SettingsError as error:
        say_and_exit(str(error))
    _show(ring, as_json)


def _opened(data: Path) -> tuple[KeyFile, Keyring]:
    try:
        file = KeyFile(secret_path(data), shared_secrets(data, "notices are signed").notice_key)
        return file, file.read()
    except SettingsError as error:
        say_and_exit(str(error))


def _show(ring: Keyring, as_json: bool) -> None:
    now_s = time.time()
    signing = ring.signing(now_s)
    rows: list[dict[str, Any]] = [
        {
            "id": key.id,
            "signs_from_s": key.signs_from_s,
            "signs": key == signing,
            "accepted_until_s": ring.accepted_until_s(key),
        }
        for key in ring.keys
    ]
    if as_json:
        typer.echo(msgspec.json.encode({"keys": rows}))
        return
    table = Table("key", "signs", "its notices are accepted")
    for row in rows:
        begins = f"from {_when(row['signs_from_s'])}" if row["signs_from_s"] else "from the beginning"
        until = row["accepted_until_s"]
        table.add_row(
            str(row["id"]),
            f"[bold]{begins}, now[/bold]" if row["signs"] else begins,
            "for as long as it signs" if until is None else f"until {_when(until)}",
        )
    print_whole(table)


def _when(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
