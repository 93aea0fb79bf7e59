"""What `hustings demo` finds wrong at its end, and how it says so."""

from pathlib import Path

import msgspec
import pytest

from bidder.cli.demo import disagreements, still_kept, too_busy
from bidder.events.spool import open_spools
from config.schema import code_of
from loadtest.strain import ClientFigures
from loadtest.tally import Percentiles, Summary, Tally
from pacing.account import Account
from tests.factories import advertiser, bundle, campaign

BUNDLE = bundle(advertiser("oak", [campaign("spring")]))
QUIET = Percentiles(p50=0.1, p90=0.2, p99=0.3, p999=0.4, max=0.5)
CLIENT = ClientFigures(late_ms=QUIET, loop_lag_ms=QUIET, cpu_share=0.2, cpu_share_max=0.3, skipped=0)


def sound() -> tuple[Summary, dict[int, Account]]:
    tally = Tally("USD")
    tally.bids = 1
    assert tally.books.open_account("spring")
    tally.books.enter_win("spring")
    tally.books.enter_spend("spring", 250_000)
    account = Account(
        code=code_of("spring"),
        campaign_id="spring",
        time_zone="UTC",
        total=10**12,
        daily=None,
        spent=250_000,
        day=20_000,
        spent_day=250_000,
        leased=0,
        late=0,
        paused=False,
        ceiling=None,
        ceiling_day=None,
        leases={},
    )
    return tally.summary(1.0), {code_of("spring"): account}


def test_books_that_agree_are_nothing_to_speak_of() -> None:
    assert disagreements(BUNDLE, *sound()) == []


@pytest.mark.parametrize(
    ("spent", "said"),
    [(250_001, "the ledger says 250001 billionths, the exchange's books 250000"), (0, "the ledger says 0 ")],
)
def test_an_account_that_differs_is_named_with_both_sums(spent: int, said: str) -> None:
    summary, accounts = sound()
    accounts = {code: msgspec.structs.replace(account, spent=spent) for code, account in accounts.items()}
    (sentence,) = disagreements(BUNDLE, summary, accounts)
    assert sentence.startswith("campaign spring: ")
    assert said in sentence


def test_a_run_in_which_nothing_happened_proves_nothing() -> None:
    assert disagreements(BUNDLE, Tally("USD").summary(1.0), {}) == [
        "no bids in the whole run",
        "no wins in the whole run",
        "no spend in the whole run",
    ]


def test_spend_of_a_campaign_nobody_knows_and_errors_are_told() -> None:
    _, accounts = sound()
    tally = Tally("USD")
    tally.bids = 1
    assert tally.books.open_account("other")
    tally.books.enter_win("other")
    tally.books.enter_spend("other", 5)
    tally.fail("burl_notice", "A burl was answered 503.")
    assert disagreements(BUNDLE, tally.summary(1.0), accounts) == [
        "1 errors: 1 burl_notice",
        "1 × A burl was answered 503.",
        "campaign spring: the ledger says 250000 billionths, the exchange's books 0",
        "the exchange booked spend for an unknown campaign other",
    ]


def test_a_machine_that_could_not_keep_up_is_named_as_the_reason() -> None:
    assert too_busy(CLIENT, 300) == []
    late = msgspec.structs.replace(CLIENT, loop_lag_ms=msgspec.structs.replace(QUIET, p99=200.0))
    (sentence,) = too_busy(late, 300)
    assert sentence.startswith("this machine was too busy for 300 requests a second: ")
    assert "--rate" in sentence
    assert "200 ms" in sentence


async def test_notices_that_still_wait_on_the_disk_are_told(tmp_path: Path) -> None:
    assert still_kept(tmp_path / "spool") == []
    (spool,) = open_spools(tmp_path / "spool")
    assert still_kept(tmp_path / "spool") == []
    await spool.append(b"a bill", 1)
    (sentence,) = still_kept(tmp_path / "spool")
    assert "not in the ledger" in sentence
    spool.done(next(spool.waiting()), 1)
    spool.tidy()
    assert still_kept(tmp_path / "spool") == []
    spool.close()
