"""The dashboard's files: what is served, under which policy, and that they are what they are said to be."""

import hashlib
import re

import pytest

from bidder.admin.page import PLOT_LIBRARY, page_files
from tests.admin.conftest import AdminPort
from tests.deploy.repository import ROOT

OUR_SCRIPTS = ("static/dashboard.js", "static/plots.js")


@pytest.mark.parametrize("name", [name for name in PLOT_LIBRARY if "/" in name])
def test_the_plot_library_is_the_one_that_was_published(name: str) -> None:
    assert hashlib.sha256(page_files()[f"static/{name}"].body).hexdigest() == PLOT_LIBRARY[name]


def test_the_plot_library_says_its_version_and_is_named_in_the_notice() -> None:
    script = page_files()["static/uplot/uPlot.iife.min.js"].body.decode()
    assert f"(v{PLOT_LIBRARY['version']})" in script[:100]
    assert f"uPlot {PLOT_LIBRARY['version']}" in (ROOT / "NOTICE").read_text()


async def test_every_file_is_served_under_the_strict_policy(port: AdminPort) -> None:
    for path, file in page_files().items():
        answer = await port.get(f"/{path}")
        assert (answer.status, answer.text) == (200, file.body.decode())
        assert answer.headers["Content-Type"] == f"{file.content_type}; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/uplot"])
async def test_nothing_else_is_served(port: AdminPort, path: str) -> None:
    assert (await port.get(path)).status == 404


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    files = page_files()
    for name in ("", "static/dashboard.css", *OUR_SCRIPTS):
        text = files[name].body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text), name
    page = files[""].body.decode()
    assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=|javascript:", page)
    for name in OUR_SCRIPTS:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\.style\b",
            files[name].body.decode(),
        )


async def test_the_page_asks_only_for_what_is_there(port: AdminPort) -> None:
    page = page_files()[""].body.decode()
    script = page_files()["static/dashboard.js"].body.decode()
    status = await port.status()
    ids = set(re.findall(r'\bid="([a-z0-9-]+)"', page))
    assert set(re.findall(r'(?:at|say|fill|facts)\("([a-z0-9-]+)"', script)) <= ids
    assert set(re.findall(r'(?:labelledby|href)="#?([a-z-]+)"', page)) - {"metrics", "ready"} <= ids
    assert set(re.findall(r"\bstatus\.([a-z_]+)", script)) <= status.keys() | {"json"}
    (campaign,) = status["campaigns"]
    assert set(re.findall(r"\bcampaign\.([a-z_]+)", script)) <= campaign.keys()
    assert set(re.findall(r"\bredis\.([a-z_]+)", script)) <= status["redis"].keys()
    assert set(re.findall(r"\baudiences\.([a-z_]+)", script)) <= status["audiences"].keys()
    # Each column has a heading, each table a caption.
    assert page.count("<caption") == page.count("<table")
    assert page.count('<th scope="col"') == page.count("<th ")
