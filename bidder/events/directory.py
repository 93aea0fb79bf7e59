"""Who is who in a notice: the ids and addresses behind the codes of a token.

A token names campaigns, line items, creatives and exchanges by `config.schema.code_of`. A Directory
is the index of one Bundle by those codes; it is immutable, and the events process swaps the whole
of it when a new config arrives (`LiveDirectory`). A token outlives the config it was made under:
what is not in the bundle any more is UNKNOWN, and the notice is settled all the same; the time zone of
its day is then its account's.

It also knows how each exchange writes its prices. A config that arrives while the engine runs may name
an exchange whose prices are encrypted and for which there are no keys: its notices are then refused one
by one, and the log says why.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

import msgspec

from bidder.events.price import PriceReader
from bidder.metrics import CONFIG_VERSION, UNKNOWN, config_number
from bidder.openrtb.privacy import NO_VENDOR, vendor_of
from config.calendar import flight_bounds_s
from config.price_keys import PriceKeys, without_keys
from config.schema import Bundle, Campaign, ExchangeProfile, code_of
from pacing.caps import CapLife, is_capped, life_of

logger = logging.getLogger(__name__)


class CampaignEntry(msgspec.Struct, frozen=True):
    """What a notice needs to know about a campaign."""

    id: str
    advertiser_id: str
    time_zone: str


_UNKNOWN_CAMPAIGN = CampaignEntry(UNKNOWN, UNKNOWN, "UTC")
_PRICES_IN_CLEAR = PriceReader()


class Directory:
    """The index of one bundle."""

    def __init__(self, bundle: Bundle | None, price_keys: Mapping[str, PriceKeys] | None = None) -> None:
        """Index a bundle; None, when none is published yet, gives a directory that knows nothing."""
        self.version = bundle.version if bundle else ""
        exchanges = bundle.exchanges if bundle else ()
        advertisers = bundle.advertisers if bundle else ()
        self.vendor = vendor_of(bundle.engine) if bundle else NO_VENDOR
        self._exchanges = {code_of(exchange.id): exchange.id for exchange in exchanges}
        self._profiles = {exchange.id: exchange for exchange in exchanges}
        keys = price_keys or {}
        self.without_price_keys = without_keys(exchanges, keys)
        self._price_readers = {
            code_of(exchange.id): PriceReader(exchange.price_encryption, keys.get(exchange.id))
            for exchange in exchanges
        }
        self.cap_lives: dict[int, CapLife] = {}
        """How impressions are remembered for what has a frequency cap, by code."""
        self._campaigns: dict[int, CampaignEntry] = {}
        self._line_items: dict[int, str] = {}
        # Creative ids are an advertiser's own words: two advertisers may both have a "spring".
        self._landing_urls: dict[tuple[str, int], str] = {}
        self._owners: dict[int, list[str]] = {}
        # Ids of one code are one id, whoever uses it, but for a chance of one in four billion.
        self._creatives: dict[int, str] = {}
        for advertiser in advertisers:
            for campaign in advertiser.campaigns:
                entry = CampaignEntry(campaign.id, advertiser.id, campaign.time_zone)
                self._campaigns[code_of(campaign.id)] = entry
                self._line_items.update((code_of(item.id), item.id) for item in campaign.line_items)
                self.cap_lives |= _cap_lives(campaign)
            for creative in advertiser.creatives:
                code = code_of(creative.id)
                self._landing_urls[advertiser.id, code] = creative.landing_url
                self._owners.setdefault(code, []).append(advertiser.id)
                self._creatives[code] = creative.id

    def campaign(self, code: int) -> CampaignEntry:
        """Return a campaign, or an entry that says UNKNOWN and UTC."""
        return self._campaigns.get(code, _UNKNOWN_CAMPAIGN)

    def is_counted(self, code: int) -> bool:
        """Say whether impressions of a campaign or line item count for a frequency cap.

        Those of one that is not in the bundle do: a worker may know a newer one already.
        """
        known = code in self._campaigns or code in self._line_items
        return code in self.cap_lives or not known

    def line_item_id(self, code: int) -> str:
        """Return the id behind a code; UNKNOWN when no config names it, as in the two below."""
        return self._line_items.get(code, UNKNOWN)

    def exchange_id(self, code: int) -> str:
        return self._exchanges.get(code, UNKNOWN)

    def creative_id(self, code: int) -> str:
        return self._creatives.get(code, UNKNOWN)

    def profile(self, exchange_id: str) -> ExchangeProfile | None:
        """Return an exchange's profile, None when it has none."""
        return self._profiles.get(exchange_id)

    def price_reader(self, exchange_code: int) -> PriceReader:
        """Return how an exchange writes its prices; in clear, when it is not in the config any more."""
        return self._price_readers.get(exchange_code, _PRICES_IN_CLEAR)

    def landing_url(self, campaign_code: int, creative_code: int) -> str | None:
        """Return where a click on a creative goes, or None when the config does not say.

        The campaign names the advertiser. A campaign that has left the config still lands, as long
        as only one advertiser has a creative of that code.
        """
        campaign = self._campaigns.get(campaign_code)
        if campaign is not None:
            return self._landing_urls.get((campaign.advertiser_id, creative_code))
        owners = self._owners.get(creative_code, ())
        return self._landing_urls[owners[0], creative_code] if len(owners) == 1 else None


def _cap_lives(campaign: Campaign) -> dict[int, CapLife]:
    zone = campaign.time_zone
    start_s, end_s = flight_bounds_s(campaign.flight, zone)
    lives = {}
    if is_capped(campaign.frequency_cap):
        lives[code_of(campaign.id)] = life_of(campaign.frequency_cap, start_s, end_s)
    for item in campaign.line_items:
        if is_capped(item.frequency_cap):
            own_start_s, own_end_s = flight_bounds_s(item.flight, zone)
            bounds_s = max(start_s, own_start_s), min(end_s, own_end_s)
            lives[code_of(item.id)] = life_of(item.frequency_cap, *bounds_s)
    return lives


class LiveDirectory:
    """The directory of the newest bundle. Take `current` once for each notice."""

    def __init__(self, bundle: Bundle | None, price_keys: Mapping[str, PriceKeys] | None = None) -> None:
        self._price_keys = dict(price_keys or {})
        self.current = Directory(bundle, self._price_keys)
        self._announce()

    async def follow(self, bundles: AsyncIterator[Bundle]) -> None:
        """Swap in every bundle that arrives; returns when the iterator ends."""
        async for bundle in bundles:
            self.current = await asyncio.to_thread(Directory, bundle, self._price_keys)
            self._announce()
            logger.info("config %s is live", bundle.version)

    def _announce(self) -> None:
        for exchange_id in self.current.without_price_keys:
            logger.error(
                "%s encrypts its prices and there are no keys for it: none of its bills is booked until "
                "the engine is started with its keys in the price-keys file",
                exchange_id,
            )
        if self.current.version:
            CONFIG_VERSION.labels("events").set(config_number(self.current.version))
