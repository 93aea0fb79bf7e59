"""Tables where no terminal says how wide they may be."""

import pytest
from rich.table import Table

from bidder.cli.whole import print_whole

ID, AMOUNT = "a-campaign-with-a-long-name-" * 3, "1499995.751491743"


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    table = Table()
    for heading in ("Campaign", "Budget", "Spent"):
        table.add_column(heading, no_wrap=True)
    table.add_row(ID, AMOUNT, AMOUNT)
    print_whole(table)
    return capsys.readouterr().out


def test_a_pipe_gets_every_id_and_amount(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    out = printed(capsys)
    assert ID in out
    assert out.count(AMOUNT) == 2


def test_who_names_a_width_gets_that(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, printed(capsys).splitlines())) <= 60
