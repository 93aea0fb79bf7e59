"""The dashboard's files, read once, and the headers they are served with.

What is here is all that can be fetched: no path of a request ever reaches the file system. The policy lets
the page run its own two scripts and style sheets and talk to its own port, and nothing else: no script in
the page, no picture or font from anywhere, and nobody may put it in a frame.

`static/uplot` is uPlot (github.com/leeoniya/uPlot), MIT, as published on npm, unchanged; PLOT_LIBRARY says
which release and holds the digests that a test compares.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, NamedTuple

PLOT_LIBRARY: Final = {
    "version": "1.6.32",
    "uplot/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot/LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""SHA-256 of each file."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES: Final = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "plots.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "uplot/uPlot.iife.min.js": "text/javascript",
    "uplot/uPlot.min.css": "text/css",
    "uplot/LICENSE": "text/plain",
}


class PageFile(NamedTuple):
    """A file of the dashboard."""

    content_type: str
    body: bytes


def page_files() -> Mapping[str, PageFile]:
    """Return every file by its path below the port: the page is the empty path."""
    folder = files("bidder.admin") / "static"
    found = {"": PageFile("text/html", (folder / "index.html").read_bytes())}
    for name, content_type in _TYPES.items():
        found[f"static/{name}"] = PageFile(content_type, folder.joinpath(*name.split("/")).read_bytes())
    return found
