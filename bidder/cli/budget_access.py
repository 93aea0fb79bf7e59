"""What the `hustings budget` commands share: the live config, one campaign of it, and a client."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from redis.asyncio import Redis as AsyncRedis

from bidder.cli.redis_option import redis_or_exit, say_and_exit
from bidder.redis_client import redis_client
from config.bundle_store import BundleUnreadableError, fetch
from config.schema import Bundle, Campaign, code_of
from config.wording import nearest_hint
from pacing.ledger import Ledger, LedgerError

CampaignArgument = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The id of a campaign.")]
_Result = TypeVar("_Result")


async def required_bundle(client: AsyncRedis) -> Bundle:
    """Return the live config; exits with status 2 when there is none that can be read."""
    try:
        bundle = await fetch(client)
    except BundleUnreadableError as error:
        say_and_exit(str(error))
    if bundle is None:
        say_and_exit("no config is live in this Redis; publish one with `hustings config apply DIR`")
    return bundle


def named_campaign(bundle: Bundle, campaign_id: str) -> Campaign:
    """Return a campaign of the config; exits with status 2, and the nearest name, when there is none."""
    campaigns = {campaign.id: campaign for campaign in bundle.campaigns_by_code().values()}
    if campaign_id not in campaigns:
        hint = nearest_hint(campaign_id, campaigns) or (
            "; `hustings budget status` shows those there are"
            if campaigns
            else "; the live config has none at all"
        )
        say_and_exit(f"no campaign is called `{campaign_id}`{hint}")
    return campaigns[campaign_id]


async def booked_campaign(client: AsyncRedis, bundle: Bundle, campaign_id: str) -> int:
    """Return the code of a campaign that is in the config, or has left it and still has an account.

    Exits with status 2, and the nearest name in the config, when there is neither.
    """
    account = await Ledger(client).account(code_of(campaign_id))
    if account is None or account.campaign_id != campaign_id:
        return code_of(named_campaign(bundle, campaign_id).id)
    return account.code


async def open_account(ledger: Ledger, campaign: Campaign) -> None:
    """Open a campaign's account before the engine has; exits with status 2 when it can't be."""
    try:
        await ledger.open(campaign)
    except LedgerError as error:
        say_and_exit(str(error))


def run(url: str, work: Callable[[AsyncRedis], Awaitable[_Result]]) -> _Result:
    """Work on the Redis of a URL; what is wrong with it becomes a sentence and exit status 2."""

    async def connected() -> _Result:
        async with redis_client(url) as client:
            return await work(client)

    with redis_or_exit(url):
        return asyncio.run(connected())
