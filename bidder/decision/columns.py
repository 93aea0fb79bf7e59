"""Opportunities as columns: what the kernel reads of a batch of requests.

One dtype is the schema. Every field is an int64, so a batch is collected in one flat list and becomes
an array in one conversion.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.dimensions import DIMENSIONS
from bidder.decision.snapshot import NOTHING_ROW, PLACE_KINDS, Snapshot
from bidder.openrtb.notice_token import FORMATS
from bidder.openrtb.opportunity import DealOffer, Opportunity, Slot

CANDIDATE = np.dtype(
    [
        # Of the candidate itself.
        ("imp", np.int64),  # number of the imp in the batch; candidates of one imp stand together
        ("media", np.int64),  # row in MediaRows.bits
        ("deal", np.int64),  # row of the deal, or of the open auction
        ("floor_cpm_micros", np.int64),
        ("first_price", np.int64),  # 1: we pay what we bid, so shade
        ("fixed_price", np.int64),  # 1: the floor is the price (a deal's `at` 3)
        ("blocked_start", np.int64),  # blocked rows of this candidate: [start, end) of the flat array
        ("blocked_end", np.int64),
        # The same for all candidates of a request.
        ("user", np.int64),  # row in the batch's users; 0 is nobody
        ("cell", np.int64),  # first row of the exchange in the shading table; the format is added
        ("hold_s", np.int64),  # how long a reservation waits for its notice
        ("required", np.int64, (len(DIMENSIONS),)),  # a row of each dimension, in their order
        ("places", np.int64, (1 + len(PLACE_KINDS),)),  # anywhere, then a row of each kind of place
    ]
)


class Candidate(NamedTuple):
    """Where a row of the columns came from: one imp, in the open auction or under one deal."""

    request: int
    """Position of the request in the batch."""
    slot: Slot
    deal: DealOffer | None


class CandidateColumns:
    """Collects the candidates of one batch against one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        snapshot.media.make_room()
        self._snapshot = snapshot
        self._flat: list[int] = []
        self._blocked: list[int] = []
        self._imps = 0
        self.candidates: list[Candidate] = []

    def add(self, request: int, opportunity: Opportunity, user: int) -> None:
        """Add every candidate of one request; `user` is its row in the batch's users.

        Deals come before the open auction, so that an imp goes to a deal that can be had.
        """
        snapshot = self._snapshot
        exchange_id = opportunity.exchange_id
        shared = (
            user,
            snapshot.exchange_index[exchange_id] * len(FORMATS),
            snapshot.exchanges[exchange_id].notice_timeout_seconds,
            *_request_rows(snapshot, opportunity),
        )
        start = len(self._blocked)
        self._blocked += _blocked_rows(snapshot, opportunity)
        blocked = (start, len(self._blocked))
        for slot in opportunity.slots:
            self._imps += 1
            media = snapshot.media.row_of(slot.media)
            for deal in slot.deals:
                row = snapshot.deals.get(deal.id)
                if row is None or deal.floor_cpm_micros is None:
                    continue
                blocked_here = self._blocked_under(deal, *blocked) if deal.seats else blocked
                terms = (deal.floor_cpm_micros, deal.first_price, deal.fixed_price)
                self.candidates.append(Candidate(request, slot, deal))
                self._flat += (self._imps, media, row, *terms, *blocked_here, *shared)
            if not slot.deals_only and slot.floor_cpm_micros is not None:
                terms = (slot.floor_cpm_micros, opportunity.first_price, False)
                self.candidates.append(Candidate(request, slot, None))
                self._flat += (self._imps, media, snapshot.open_auction_row, *terms, *blocked, *shared)

    def arrays(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
        """Return the candidates, CANDIDATE[n], and the flat blocked rows, int64[m]."""
        return np.array(self._flat, np.int64).view(CANDIDATE), np.array(self._blocked, np.int64)

    def _blocked_under(self, deal: DealOffer, start: int, end: int) -> tuple[int, int]:
        """Block the seats a deal is not for, on top of what the request blocks in [start, end)."""
        start_here = len(self._blocked)
        self._blocked += self._blocked[start:end]
        self._blocked += _other_seats(self._snapshot, deal.seats)
        return start_here, len(self._blocked)


def _request_rows(snapshot: Snapshot, opportunity: Opportunity) -> list[int]:
    """The `required` rows and the `places` rows of a request's candidates."""
    rows = []
    for values in snapshot.dimensions:
        offered = values.dimension.offered(opportunity)
        row = values.rows.get(offered)
        rows.append(values.row_of(offered) if row is None else row)
    countries, regions, metros, zips = snapshot.places
    rows += (
        snapshot.anywhere_row,
        countries.get(opportunity.country, NOTHING_ROW),
        regions.get(opportunity.region, NOTHING_ROW),
        metros.get(opportunity.metro, NOTHING_ROW),
        zips.get(opportunity.zip_code, NOTHING_ROW),
    )
    return rows


def _blocked_rows(snapshot: Snapshot, opportunity: Opportunity) -> list[int]:
    """Rows of the ads this request must not get, whatever their targeting."""
    rows = []
    if opportunity.blocked_categories:
        known = snapshot.categories
        rows += [known[value] for value in known.keys() & set(opportunity.blocked_categories)]
    if opportunity.blocked_domains:
        domains = snapshot.advertiser_domains
        rows += [domains[value] for value in opportunity.blocked_domains if value in domains]
    if opportunity.allowed_seats:
        rows += _other_seats(snapshot, opportunity.allowed_seats)
    if opportunity.blocked_seats:
        rows += [snapshot.seats[seat] for seat in opportunity.blocked_seats if seat in snapshot.seats]
    countries, regions, metros, zips = snapshot.excluded_places
    for excluded, value in (
        (countries, opportunity.country),
        (regions, opportunity.region),
        (metros, opportunity.metro),
        (zips, opportunity.zip_code),
    ):
        if value in excluded:
            rows.append(excluded[value])
    if snapshot.excluded_inventory:
        offered = snapshot.dimensions[_INVENTORY].dimension
        for key in offered.met_by(offered.offered(opportunity)):
            if key in snapshot.excluded_inventory:
                rows.append(snapshot.excluded_inventory[key])
    return rows


def _other_seats(snapshot: Snapshot, allowed: tuple[str, ...]) -> list[int]:
    return [row for seat, row in snapshot.seats.items() if seat not in allowed]


_INVENTORY = [dimension.name for dimension in DIMENSIONS].index("inventory")
