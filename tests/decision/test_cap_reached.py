"""What `hustings explain` says of frequency caps: whose, which window, and what was seen."""

import pytest

from bidder.decision.dimensions import Ad
from bidder.decision.explain import Person, cap_reached
from config.schema import Flight, FrequencyCap, When, code_of
from pacing.caps import Seen
from tests.decision.world import NOW_S
from tests.factories import advertiser, banner, campaign, line_item

ITEM = FrequencyCap(per_hour=2, per_day=3, per_week=6, per_flight=9, gap_minutes=10)
LAST = NOW_S // 60 - 11


def said(seen: Seen, pending: int = 0, known: bool = True) -> str | None:
    item = line_item("spring-web", frequency_cap=ITEM, flight=Flight(start=When("2026-11-01")))
    of_campaign = campaign("spring", [item], frequency_cap=FrequencyCap(per_day=20))
    ad = Ad(advertiser(campaigns=[of_campaign]), of_campaign, item, banner())
    code = code_of("spring-web")
    return cap_reached(ad, Person(known=known, seen={code: seen}, pending={code: pending}), NOW_S)


@pytest.mark.parametrize(
    ("seen", "pending", "why"),
    [
        (Seen(1, 2, 5, 8, LAST), 0, None),
        (Seen(2, 2, 5, 8, LAST), 0, "per_hour 2, seen 2"),
        (Seen(1, 2, 5, 8, LAST), 1, "per_hour 2, seen 1 and 1 bid"),
        (Seen(1, 3, 5, 8, LAST), 0, "per_day 3, seen 3"),
        (Seen(0, 0, 7, 8, LAST), 0, "per_week 6, seen 7"),
        (Seen(0, 0, 0, 9, LAST), 0, "per_flight 9, seen 9"),
        # All of it before the flight began.
        (Seen(0, 0, 0, 9, LAST - 40 * 1_440), 0, None),
        (Seen(1, 1, 1, 1, LAST + 1), 0, "gap_minutes 10, last seen 10 minutes ago"),
        (Seen(), 1, "gap_minutes 10, and a bid is under way"),
    ],
)
def test_a_cap_is_named_with_its_window_and_what_was_seen(seen: Seen, pending: int, why: str | None) -> None:
    whole = why and f"frequency cap of line item spring-web reached: {why}"
    assert said(seen, pending) == whole


def test_a_stranger_gets_nothing_that_is_capped() -> None:
    assert said(Seen(), known=False) == (
        "line item spring-web has a frequency cap, and the person can't be recognised"
    )
