"""What is shown, and what must be said of it."""

from typing import Annotated, Literal

from msgspec import Meta

from config.limits import DISCLAIMER_CHARS_MAX, DSA_NAME_CHARS_MAX, HTML_CHARS_MAX, ID_CHARS_MAX
from config.schema.terms import (
    Api,
    Category,
    Format,
    Id,
    Model,
    Pixels,
    PoliticalScope,
    Taxonomy,
    Url,
    VastVersion,
)


class Political(Model, frozen=True, kw_only=True):
    """Who paid for a political ad, in the words of its disclaimer, and what the vote is about.

    `federal`, `state` and `local` are candidates and measures; `issue` is neither.
    """

    paid_for_by: Annotated[str, Meta(min_length=1, max_length=DISCLAIMER_CHARS_MAX)]
    scope: PoliticalScope


class Dsa(Model, frozen=True, kw_only=True):
    """What the European Digital Services Act has an ad say: on whose behalf, and who paid."""

    behalf: Annotated[str, Meta(min_length=1, max_length=DSA_NAME_CHARS_MAX)]
    paid: Annotated[str, Meta(min_length=1, max_length=DSA_NAME_CHARS_MAX)]


class Approval(Model, frozen=True, kw_only=True):
    """A creative as one exchange's review has it; `id` is the exchange's own for it, sent as `adid`."""

    state: Literal["pending", "approved", "disapproved"]
    id: Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)] | None = None


class Image(Model, frozen=True, kw_only=True):
    """A picture and its size in pixels."""

    url: Url
    w: Pixels
    h: Pixels


class MediaFile(Model, frozen=True, kw_only=True):
    """One encoding of a video or audio ad (VAST `MediaFile`)."""

    url: Url
    mime: str
    w: Pixels | None = None
    h: Pixels | None = None
    bitrate_kbps: Annotated[int, Meta(ge=1, le=200_000)] | None = None
    delivery: Literal["progressive", "streaming"] = "progressive"


class NativeAssets(Model, frozen=True, kw_only=True):
    """What a native ad can answer with (OpenRTB Native 1.2, section 4)."""

    title: str
    sponsored_by: str
    description: str | None = None
    call_to_action: str | None = None
    rating: str | None = None
    likes: str | None = None
    downloads: str | None = None
    price: str | None = None
    sale_price: str | None = None
    phone: str | None = None
    address: str | None = None
    description_2: str | None = None
    display_url: str | None = None
    icon: Image | None = None
    image: Image | None = None
    privacy_url: Url | None = None


class Creative(Model, frozen=True, kw_only=True):
    """One thing to show. `format` decides which of the other fields it needs (`config.check`)."""

    id: Id
    format: Format
    landing_url: Url
    image_url: Url | None = None
    html: Annotated[str, Meta(min_length=1, max_length=HTML_CHARS_MAX)] | None = None
    iframe_url: Url | None = None
    w: Pixels | None = None
    h: Pixels | None = None
    media_files: tuple[MediaFile, ...] = ()
    vast_url: Url | None = None
    vast_version: VastVersion | None = None
    duration_seconds: Annotated[int, Meta(ge=1, le=3_600)] | None = None
    skip_after_seconds: Annotated[int, Meta(ge=0, le=3_600)] | None = None
    apis: tuple[Api, ...] = ()
    native: NativeAssets | None = None
    attributes: tuple[Annotated[int, Meta(ge=1, le=500)], ...] = ()
    language: Annotated[str, Meta(pattern=r"^[a-z]{2}$")] | None = None
    categories: tuple[Category, ...] = ()
    other_categories: dict[Taxonomy, tuple[str, ...]] = {}
    app_bundle: Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX * 4)] | None = None
    restricted_categories: tuple[Annotated[int, Meta(ge=1, le=1_000_000)], ...] = ()
    political: Political | None = None
    shows_dsa_notice: bool = False
    preview_url: Url | None = None
    approvals: dict[Id, Approval] = {}
