"""What follows an auction: win, billing, impression, click and loss, as an exchange reports them.

    won    nurl, a short while later burl and the impression pixels, perhaps later a click or a whole play
    lost   lurl

The exchange books a bid's spend when its billing notice is answered 2xx, once. The billing notice is the
burl; a bid without one is billed by its impression pixel. A burl that fails is tried again, as
exchanges do; every other notice has one chance, as in a browser.

Real notices get lost, come late, come twice and come in the wrong order, so a share of each can be asked for.
A repeated notice is sent at the same time as its original, which is the hardest case for the receiver,
unless one of the two is delayed. A reordered win has its pixels first, then the billing, the win notice last.

Only this machine is called (`addresses`). When the operator vouches for the target, so are the hosts that
the bid's own notices name; other hosts in the markup (image servers, landing pages) never are.
"""

import asyncio
import random
from typing import Literal

import msgspec

from loadtest.addresses import origin_of
from loadtest.auction import Outcome, fill_macros
from loadtest.client import NoticeClient
from loadtest.limits import BILLING_ATTEMPTS_MAX, BILLING_RETRY_SECONDS
from loadtest.markup import Trackers, trackers
from loadtest.tally import Tally

NoticeKind = Literal["nurl", "burl", "lurl", "impression", "click", "completion"]
_REDIRECTS = (301, 302, 303, 307, 308)


class NoticeHabits(msgspec.Struct, frozen=True, kw_only=True):
    """How an exchange's notices behave. Shares are of notices, `click_share` of impressions, `played_share`
    of those of video and audio, `reordered_share` of wins."""

    click_share: float = 0.02
    played_share: float = 0.7
    repeated_share: float = 0.0
    lost_share: float = 0.0
    delayed_share: float = 0.0
    delay_s: float = 2.0
    """The extra wait of a delayed notice."""
    reordered_share: float = 0.0
    impression_after_min_s: float = 0.02
    impression_after_max_s: float = 0.25
    """From the auction to the ad on the screen."""
    click_after_max_s: float = 1.0
    target_is_owned: bool = False
    """Whether the operator vouches for hosts other than loopback."""

    def described(self) -> str:
        """Say in words what is not as it should be."""
        said = {
            "sent twice": self.repeated_share,
            "never sent": self.lost_share,
            f"{self.delay_s:g} s late": self.delayed_share,
            "of wins in the wrong order": self.reordered_share,
        }
        parts = [f"{share:.0%} {what}" for what, share in said.items() if share]
        return ", ".join(parts) or "each once and in order"


class Notices:
    """Fires the notices of outcomes and enters what they achieve in the tally and its books."""

    def __init__(self, client: NoticeClient, habits: NoticeHabits, tally: Tally) -> None:
        self._client = client
        self._habits = habits
        self._tally = tally

    async def follow(self, outcome: Outcome, rng: random.Random) -> None:
        """Fire everything that follows one outcome; returns when the last answer is in."""
        if outcome.won:
            await self._follow_win(outcome, rng)
        else:
            await self._send("lurl", outcome.bid.get("lurl"), outcome, rng)

    async def _follow_win(self, outcome: Outcome, rng: random.Random) -> None:
        habits, books = self._habits, self._tally.books
        bid, campaign_id = outcome.bid, outcome.bid["cid"]
        books.enter_win(campaign_id)
        ad = trackers(bid["mtype"], bid["adm"])
        is_reordered = rng.random() < habits.reordered_share
        after_s = rng.uniform(habits.impression_after_min_s, habits.impression_after_max_s)
        if is_reordered:
            self._tally.notices_reordered += 1
            await asyncio.sleep(after_s)
            shown = await self._show(ad, outcome, rng)
            billed = await self._send("burl", bid.get("burl"), outcome, rng)
            await self._send("nurl", bid.get("nurl"), outcome, rng)
        else:
            await self._send("nurl", bid.get("nurl"), outcome, rng)
            await asyncio.sleep(after_s)
            billed = await self._send("burl", bid.get("burl"), outcome, rng)
            shown = await self._show(ad, outcome, rng)
        if shown:
            books.enter_impression(campaign_id)
        if billed or (shown and not bid.get("burl")):
            books.enter_spend(campaign_id, outcome.cost)
        if shown and ad.completion_urls and rng.random() < habits.played_share:
            # In a fraction of the time that people take: a load test should end.
            for url in ad.completion_urls:
                await self._send("completion", url, outcome, rng)
        if shown and rng.random() < habits.click_share:
            await asyncio.sleep(rng.uniform(0, habits.click_after_max_s))
            if await self._click(ad, outcome, rng):
                books.enter_click(campaign_id)

    async def _show(self, ad: Trackers, outcome: Outcome, rng: random.Random) -> bool:
        """Call the impression pixels; return whether the bidder has heard of the impression."""
        return any([await self._send("impression", url, outcome, rng) for url in ad.impression_urls])

    async def _click(self, ad: Trackers, outcome: Outcome, rng: random.Random) -> bool:
        """Call the click trackers, then the link itself, which must send the visitor on."""
        tracked = [await self._send("click", url, outcome, rng) for url in ad.click_tracking_urls]
        sent_on = await self._send("click", ad.click_url, outcome, rng, must_redirect=True)
        return sent_on or any(tracked)

    async def _send(
        self,
        kind: NoticeKind,
        template: object,
        outcome: Outcome,
        rng: random.Random,
        must_redirect: bool = False,
    ) -> bool:
        """Send one notice as the habits have it; return whether the bidder acknowledged it.

        Every draw is made before the first await, so the order of answers can't change them.
        """
        habits, tally = self._habits, self._tally
        is_lost = rng.random() < habits.lost_share
        is_repeated = rng.random() < habits.repeated_share
        delays_s = [habits.delay_s if rng.random() < habits.delayed_share else 0.0 for _ in range(2)]
        if not isinstance(template, str) or not template:
            return False
        url = fill_macros(template, outcome.macros)
        if not await self._client.may_call(url, is_owned=self._is_owned(url, outcome)):
            return False
        if is_lost:
            tally.notices_lost += 1
            return False
        if not is_repeated:
            return await self._call(kind, url, delays_s[0], must_redirect)
        tally.notices_repeated += 1
        return any(
            await asyncio.gather(*(self._call(kind, url, delay_s, must_redirect) for delay_s in delays_s))
        )

    async def _call(self, kind: NoticeKind, url: str, delay_s: float, must_redirect: bool) -> bool:
        if delay_s:
            self._tally.notices_delayed += 1
            await asyncio.sleep(delay_s)
        attempts = BILLING_ATTEMPTS_MAX if kind == "burl" else 1
        status = 0
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(BILLING_RETRY_SECONDS)
            self._tally.notices[kind] += 1
            status = await self._client.call(url)
            if status in _REDIRECTS and kind == "click":
                return True
            if 200 <= status < 300 and not must_redirect:
                return True
        came = f"was answered {status}" if status else "got no whole answer in time"
        self._tally.fail(f"{kind}_notice", f"{'An' if kind == 'impression' else 'A'} {kind} {came}.")
        return False

    def _is_owned(self, url: str, outcome: Outcome) -> bool:
        """Tell whether the operator vouches for a URL's host: it is one that the bid's own notices name."""
        if not self._habits.target_is_owned:
            return False
        named = (outcome.bid.get(field) for field in ("nurl", "burl", "lurl"))
        hosts = {origin.host for name in named if isinstance(name, str) and (origin := origin_of(name))}
        origin = origin_of(url)
        return origin is not None and origin.host in hosts
