"""Where, when and in what an ad may run."""

from typing import Annotated

from msgspec import Meta

from config.schema.terms import (
    Country,
    DeviceKind,
    Id,
    Model,
    Region,
    StreamStart,
    VideoPlacement,
    Weekday,
    When,
    Zip,
)


class Flight(Model, frozen=True, kw_only=True):
    """From `start` (inclusive) to `end` (exclusive). Either may be left open."""

    start: When | None = None
    end: When | None = None


class Places(Model, frozen=True, kw_only=True):
    """Locations, joined by OR. Regions and ZIPs carry their country: ``USA-IA``, ``USA-50309``."""

    countries: tuple[Country, ...] = ()
    regions: tuple[Region, ...] = ()
    metros: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,8}$")], ...] = ()
    zips: tuple[Zip, ...] = ()


class Geo(Model, frozen=True, kw_only=True):
    """Where an ad may run, and where not; an empty `include` is everywhere."""

    include: Places = Places()
    exclude: Places = Places()


class Inventory(Model, frozen=True, kw_only=True):
    """Sites by domain (subdomains included) and apps by bundle, joined by OR."""

    domains: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()


class InventoryTargeting(Model, frozen=True, kw_only=True):
    """What an ad may run in, and what not; an empty `include` is everything."""

    include: Inventory = Inventory()
    exclude: Inventory = Inventory()


class Daypart(Model, frozen=True, kw_only=True):
    """Hours of the campaign's local day, `from_hour` inclusive to `to_hour` exclusive."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    from_hour: Annotated[int, Meta(ge=0, le=23)] = 0
    to_hour: Annotated[int, Meta(ge=1, le=24)] = 24


class SlotTargeting(Model, frozen=True, kw_only=True):
    """What kind of place on the page or in the stream it must be. What an imp does not say is not met."""

    placements: tuple[VideoPlacement, ...] = ()
    starts: tuple[StreamStart, ...] = ()
    interstitial: bool | None = None
    rewarded: bool | None = None


class Targeting(Model, frozen=True, kw_only=True):
    """All parts must hold (AND); an empty part holds always."""

    geo: Geo = Geo()
    inventory: InventoryTargeting = InventoryTargeting()
    devices: tuple[DeviceKind, ...] = ()
    operating_systems: tuple[str, ...] = ()
    exchanges: tuple[Id, ...] = ()
    deals: tuple[str, ...] = ()
    slot: SlotTargeting = SlotTargeting()
    dayparts: tuple[Daypart, ...] = ()
