"""segments.yaml: the named audiences."""

from typing import Annotated, Literal

from msgspec import Meta

from config.limits import SEGMENT_TTL_DAYS_MAX
from config.schema.terms import Id, Model, Page


class SegmentRule(Model, frozen=True, kw_only=True):
    """Puts a person into a segment the moment something happens on the events port."""

    event: Literal["visit", "impression", "click", "conversion"]
    campaign: Id | None = None
    """Of which campaign, for the last three; without one: of any campaign of the owner (shared: of all)."""
    pages: tuple[Page, ...] = ()
    """For visits: a domain (subdomains included), and where it has one the beginning of the path."""
    days: Annotated[int, Meta(ge=1, le=SEGMENT_TTL_DAYS_MAX)] = 30
    """How long it lasts after the last such event; the day of the event, in UTC, is not counted."""


class Segment(Model, frozen=True, kw_only=True):
    """A named audience."""

    name: Id
    description: str = ""
    owner: Id | None = None
    """The advertiser who alone may use it; without one it is everybody's."""
    rule: SegmentRule | None = None
    """Who is in it is then a matter of events: no file may put people in."""


class SegmentList(Model, frozen=True, kw_only=True):
    """The whole file."""

    segments: tuple[Segment, ...]
