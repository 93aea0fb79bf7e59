"""Who is who in a notice: the ids and addresses behind the codes of a token.

A token names campaigns, line items, creatives and exchanges by `config.schema.code_of`. A Directory
is the index of one Bundle by those codes; it is immutable, and the events process swaps the whole
of it when a new config arrives (`LiveDirectory`). A token outlives the config it was made under:
what is not in the bundle any more is UNKNOWN, a campaign's day is then a UTC day, and the notice is
settled all the same.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec

from bidder.metrics import CONFIG_VERSION, UNKNOWN, config_number
from config.schema import Bundle, code_of

logger = logging.getLogger(__name__)


class CampaignEntry(msgspec.Struct, frozen=True):
    """What a notice needs to know about a campaign."""

    id: str
    advertiser_id: str
    time_zone: str


_UNKNOWN_CAMPAIGN = CampaignEntry(UNKNOWN, UNKNOWN, "UTC")


class Directory:
    """The index of one bundle."""

    def __init__(self, bundle: Bundle | None) -> None:
        """Index a bundle; None, when none is published yet, gives a directory that knows nothing."""
        self.version = bundle.version if bundle else ""
        exchanges = bundle.exchanges if bundle else ()
        advertisers = bundle.advertisers if bundle else ()
        self._exchanges = {code_of(exchange.id): exchange.id for exchange in exchanges}
        self._sync_redirects = {exchange.id: exchange.sync_redirect_url for exchange in exchanges}
        self._campaigns: dict[int, CampaignEntry] = {}
        self._line_items: dict[int, str] = {}
        # Creative ids are an advertiser's own words: two advertisers may both have a "spring".
        self._landing_urls: dict[tuple[str, int], str] = {}
        self._owners: dict[int, list[str]] = {}
        for advertiser in advertisers:
            for campaign in advertiser.campaigns:
                entry = CampaignEntry(campaign.id, advertiser.id, campaign.time_zone)
                self._campaigns[code_of(campaign.id)] = entry
                self._line_items.update((code_of(item.id), item.id) for item in campaign.line_items)
            for creative in advertiser.creatives:
                code = code_of(creative.id)
                self._landing_urls[advertiser.id, code] = creative.landing_url
                self._owners.setdefault(code, []).append(advertiser.id)

    def campaign(self, code: int) -> CampaignEntry:
        """Return a campaign, or an entry that says UNKNOWN and UTC."""
        return self._campaigns.get(code, _UNKNOWN_CAMPAIGN)

    def line_item_id(self, code: int) -> str:
        return self._line_items.get(code, UNKNOWN)

    def exchange_id(self, code: int) -> str:
        return self._exchanges.get(code, UNKNOWN)

    def knows_exchange(self, exchange_id: str) -> bool:
        return exchange_id in self._sync_redirects

    def sync_redirect_url(self, exchange_id: str) -> str | None:
        """Return the template of an exchange's cookie-sync URL; None when it has none."""
        return self._sync_redirects.get(exchange_id)

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


class LiveDirectory:
    """The directory of the newest bundle. Take `current` once for each notice."""

    def __init__(self, bundle: Bundle | None) -> None:
        self.current = Directory(bundle)
        self._tell_metrics()

    async def follow(self, bundles: AsyncIterator[Bundle]) -> None:
        """Swap in every bundle that arrives; returns when the iterator ends."""
        async for bundle in bundles:
            self.current = await asyncio.to_thread(Directory, bundle)
            self._tell_metrics()
            logger.info("config %s is live", bundle.version)

    def _tell_metrics(self) -> None:
        if self.current.version:
            CONFIG_VERSION.labels("events").set(config_number(self.current.version))
