"""The `hustings` command."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bidder.cli.budget import app as budget
from bidder.cli.config import app as config
from bidder.cli.demo import demo
from bidder.cli.explain import explain
from bidder.cli.loadtest import loadtest
from bidder.cli.segments import app as segments
from bidder.cli.serve import serve

app = typer.Typer(
    name="hustings",
    help="The open programmatic bidding engine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(serve)
app.add_typer(config, name="config")
app.add_typer(segments, name="segments")
app.add_typer(budget, name="budget")
app.command()(explain)
app.command()(loadtest)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        typer.echo(version("hustings"))
        raise typer.Exit


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly with the shell's status for it."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
