"""What `hustings explain` says: the reasons in words, as tables or as JSON."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bidder.decision.explain import Verdict
from bidder.decision.reasons import Reason
from bidder.openrtb.opportunity import DealOffer, Slot
from config.money import BILLION, MICROS, cpm_text, money_text
from config.value import decimal_text
from pacing.stop import Stop


class Answer(NamedTuple):
    """What became of one imp, in the open auction or under a deal."""

    slot: Slot
    deal: DealOffer | None
    verdicts: list[Verdict]
    """Of every ad."""
    winner: Verdict | None


SENTENCES = {
    Reason.BID: "may bid",
    Reason.BELOW_FLOOR: "its price, paced, is below the floor",
    Reason.OUT_OF_AUDIENCE: "the person is not in its audience",
    Reason.NO_BUDGET: "its campaign has no budget left for this price",
    Reason.EXCHANGE_PAUSED: "the exchange is paused in the config",
    Reason.STOPPED: "all bidding is stopped",
    Reason.TOO_LATE: "the deadline (tmax) leaves no time to answer",
    Reason.TEST: "a test request (test is 1): nothing may be spent",
    Reason.TWO_CHANNELS: "the request has more than one of site, app and dooh",
    Reason.CRAWLER: "the user agent is a crawler's (traffic.yaml, crawlers)",
    Reason.NOT_HUMAN: "the request names no user agent (traffic.yaml, user_agent_required)",
    Reason.DATA_CENTRE: "the device's address is in a data centre (traffic.yaml, data_centres)",
    Reason.SELLERS_UNKNOWN: "nothing says who may sell the site or app (traffic.yaml, listed_only)",
    Reason.SELLER_UNLISTED: "the seller is not among those of the site or app (traffic.yaml, sellers)",
    Reason.CHAIN_INCOMPLETE: "the supply chain is incomplete (traffic.yaml, complete_chain_required)",
    Reason.CHAIN_BLOCKED: "the supply chain has a blocked node (traffic.yaml, blocked_nodes)",
}


class Held(NamedTuple):
    """What people hold by hand."""

    stop: Stop | None = None
    paused: frozenset[str] = frozenset()
    """Campaigns that `hustings budget pause` holds."""

    def why(self, verdict: Verdict) -> str:
        """Say why an ad bids or not, were it not for the stop."""
        if verdict.reason is Reason.NO_BUDGET and verdict.ad.campaign.id in self.paused:
            campaign_id = verdict.ad.campaign.id
            return f"its campaign is paused (`hustings budget resume {campaign_id}` ends that)"
        return _sentence(verdict)

    def stopped(self) -> str | None:
        """Say that all bidding is stopped, if it is."""
        if self.stop is None:
            return None
        return (
            f"All bidding is stopped by {self.stop.by} ({self.stop.reason or 'no reason given'}); "
            "`hustings budget start` ends that"
        )


def show(answers: Iterable[Answer], privacy: list[str], held: Held, currency: str) -> None:
    """Print a table for each answer, and before them what holds for all."""
    console = Console()
    stopped = held.stopped()
    if stopped is not None:
        console.print(
            f"[bold]{escape(stopped)}.[/bold] Were it not, this is what would happen:", soft_wrap=True
        )
    for sentence in privacy:
        console.print(f"Privacy: {sentence}.", soft_wrap=True)
    for answer in answers:
        _print_table(console, answer, held, currency)


def print_json(answers: Iterable[Answer], privacy: list[str], held: Held) -> None:
    """Print the same as one JSON object."""
    imps = [_as_data(answer, held) for answer in answers]
    report = {"stopped": held.stopped(), "privacy": privacy, "imps": imps}
    typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


def _sentence(verdict: Verdict) -> str:
    if verdict.mismatch is not None:
        return str(verdict.mismatch)
    if verdict.cap:
        return verdict.cap
    return SENTENCES[verdict.reason]


def _as_data(answer: Answer, held: Held) -> dict[str, object]:
    slot, deal, verdicts, winner = answer
    return {
        "imp": slot.imp_id,
        "deal": deal.id if deal else None,
        "bid": winner and {"line_item": winner.ad.line_item.id, "price": cpm_text(winner.price_cpm_micros)},
        "ads": [
            {
                "line_item": verdict.ad.line_item.id,
                "creative": verdict.ad.creative.id,
                "reason": verdict.reason.name.lower(),
                "why": held.why(verdict),
                **({} if verdict.mismatch is not None else _figures(verdict)),
            }
            for verdict in verdicts
        ],
    }


def _figures(verdict: Verdict) -> dict[str, str]:
    """How a price came about; of an ad that came so far that it has one."""
    item = verdict.ad.line_item
    return {
        "pays_for": item.price.event,
        "rate": decimal_text(verdict.rate_billionths, BILLION),
        "adjustment": decimal_text(verdict.factor_millionths, MICROS),
        "worth": cpm_text(verdict.worth_cpm_micros),
        "paced": cpm_text(verdict.value_cpm_micros),
        "price": cpm_text(verdict.price_cpm_micros),
    }


def _working(verdict: Verdict, currency: str) -> str:
    """The same in words, where there is more to it than a flat price."""
    if verdict.mismatch is not None:
        return ""
    event, amount = verdict.ad.line_item.price
    worth, paced, price = verdict.worth_cpm_micros, verdict.value_cpm_micros, verdict.price_cpm_micros
    steps = []
    if event != "impression":
        share = decimal_text(verdict.rate_billionths * 100, BILLION)
        steps.append(f"{share} % of {money_text(amount)} {currency} a {event}")
    if verdict.factor_millionths != MICROS:
        steps.append(f"adjusted by {decimal_text(verdict.factor_millionths, MICROS)}")
    if steps or paced != worth:
        steps.append(f"worth {cpm_text(worth)} CPM")
    if paced != worth:
        steps.append(f"paced {cpm_text(paced)}")
    if steps and price not in (0, paced):
        steps.append(f"bid {cpm_text(price)}")
    return f" ({', '.join(steps)})" if steps else ""


def _print_table(console: Console, answer: Answer, held: Held, currency: str) -> None:
    slot, deal, verdicts, winner = answer
    where = f"imp {slot.imp_id}, " + (f"deal {deal.id}" if deal else "open auction")
    table = Table(title=where, title_justify="left")
    for heading in ("line item", "creative", "why"):
        table.add_column(heading)
    # The ads that came furthest first: they are the ones a manager asks about.
    order = sorted(verdicts, key=lambda v: (v is not winner, v.reason is not Reason.BID, -v.reason))
    for verdict in order:
        why = f"bids {cpm_text(verdict.price_cpm_micros)} CPM" if verdict is winner else held.why(verdict)
        style = "bold green" if verdict is winner else ""
        why += _working(verdict, currency)
        table.add_row(verdict.ad.line_item.id, verdict.ad.creative.id, why, style=style)
    console.print(table)
    counts = Counter(held.why(verdict) for verdict in verdicts)
    console.print("; ".join(f"{count} × {why}" for why, count in counts.most_common()))
