"""The `hustings` command."""

import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

COMMANDS = (
    *("demo", "serve", "config", "segments", "budget", "campaign"),
    *("explain", "loadtest", "keys", "doctor"),
)
"""Each is the file of that name beside this one: its `app`, or the function of the same name."""


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command as far as these words may need it.

    Where they begin with one of COMMANDS the others are left out: to import them all takes a second, and
    `hustings serve` is in a hurry.
    """
    command = typer.Typer(
        name="hustings",
        help="The open programmatic bidding engine.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    command.callback(invoke_without_command=True)(_root)
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        module = importlib.import_module(f"bidder.cli.{name}")
        if hasattr(module, "app"):
            command.add_typer(module.app, name=name)
        else:
            command.command()(getattr(module, name))
    return command


def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        typer.echo(version("hustings"))
        raise typer.Exit


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly with the shell's status for it."""
    try:
        command_line(sys.argv[1:])()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
