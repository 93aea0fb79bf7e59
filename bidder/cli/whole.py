"""Tables that lose nothing where no terminal says how wide they may be.

Into a pipe or a file Rich writes 80 columns, and of what does not fit it leaves an ellipsis: of an id, or of
an amount. There a table is as wide as what is in it, unless COLUMNS says otherwise.
"""

import os
from typing import Final

from rich.console import Console, RenderableType

WIDTH_MAX: Final = 1_000


def print_whole(shown: RenderableType) -> None:
    """Print to stdout: within the terminal, else in full."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        natural = console.measure(shown, options=console.options.update(max_width=WIDTH_MAX)).maximum
        console = Console(width=max(console.width, natural))
    console.print(shown)
