"""What a sync does with a partner's id: links it to our person, and brings along what it was known for.

    linker = Linker(client, identity)
    await linker.link("rivermarket.example", "88", uid, link_days, now_s)

Until now the id was a person of its own: somebody may have loaded it into audiences, and an ad may have
been shown to it. From here on everybody looks under the person alone (`segments.links`), so its audiences
and the impressions counted for its frequency caps move there. What somebody who does not ask for links
(an advertiser's inbox) writes under the id later moves when the link is renewed, once a day at most.
"""

import redis.asyncio

from bidder.metrics import CAP_RECORDS_DROPPED
from config.calendar import SECONDS_PER_DAY
from pacing.caps import add_records
from segments.identity import COOKIE, Identity
from segments.links import LinkStore


class Linker:
    """Makes the links of one installation."""

    def __init__(self, client: redis.asyncio.Redis, identity: Identity) -> None:
        self._client = client
        self._identity = identity
        self._links = LinkStore(client)

    async def link(
        self, source: str, partner_uid: str, own_uid: str, days: int, now_s: int, *, returning: bool
    ) -> bool:
        """Link a partner's id to our cookie for some days from now; say whether that was news.

        A cookie that the browser has only just been given (not `returning`) may be one that it will not
        keep: it takes no id from the person who has it, or each visit of such a browser would make
        somebody new of it. Raises redis.RedisError; then the next sync does the rest. What was counted for
        the id is counted for the person, twice where Redis fails just after that: less is shown, not more.
        """
        today = now_s // SECONDS_PER_DAY
        id_hash = self._identity.hash(source, partner_uid)
        person = self._identity.hash(COOKIE, own_uid)
        linked = await self._links.link(id_hash, person, days, today, take_over=returning)
        if linked.caps:
            CAP_RECORDS_DROPPED.inc(await add_records(self._client, person, linked.caps, now_s))
            await self._links.caps_counted(id_hash)
        return linked.news
