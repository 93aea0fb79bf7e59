"""`hustings explain`: why a request was, or was not, bid on, line item by line item."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import msgspec
import numpy as np
import redis.asyncio
import typer

from bidder.cli.explain_view import SENTENCES, Answer, Held, print_json, show
from bidder.cli.redis_option import (
    DATA_DIR_DEFAULT,
    DataOption,
    RedisOption,
    redis_or_exit,
    redis_url,
    say_and_exit,
)
from bidder.cli.serve import run_or_exit
from bidder.decision.dimensions import Ad
from bidder.decision.explain import Market, Person, Taken, bids_wanted, choose, judge
from bidder.decision.scoring import predictor
from bidder.decision.snapshot import compile_snapshot
from bidder.openrtb.acceptance import refused_unseen, time_to_answer_ms
from bidder.openrtb.consent.permissions import sentences
from bidder.openrtb.decode import MalformedRequest, decode_request
from bidder.openrtb.opportunity import DealOffer, Opportunity, Slot
from bidder.openrtb.person import linked_sources
from bidder.openrtb.privacy import vendor_of
from bidder.openrtb.suspicion import suspicion_of
from bidder.openrtb.translate import translate
from bidder.openrtb.wire import BidRequest
from bidder.redis_client import redis_client
from config import bundle_store
from config.calendar import SECONDS_PER_DAY
from config.limits import BODY_BYTES_MAX
from config.load import load_folder
from config.money import MONEY_MAX
from config.schema import Bundle, ExchangeProfile
from config.settings import shared_secrets
from pacing import plan as pacing_plan
from pacing import prediction
from pacing import stop as global_stop
from pacing.caps import seen_of
from pacing.cells import Cell, cells_of
from pacing.ledger import Ledger
from pacing.plan import MULTIPLIER_ONE_Q16
from pacing.shading import fetch_shading, shade, shade_table
from segments.bitsets import indices_from_bits
from segments.identity import Identity
from segments.links import LinkStore
from segments.location import caps_key
from segments.registry import SegmentRegistry, words_of
from segments.sizes import AudienceSizes, too_small
from segments.store import SegmentStore


def explain(
    request: Annotated[Path, typer.Argument(metavar="REQUEST.json", help="An OpenRTB bid request.")],
    exchange: Annotated[str, typer.Option(help="The exchange it came through.")] = "plain",
    config: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Explain with this folder, full budgets and no server."),
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(help="With --config: a segment the person asked about is in; repeatable."),
    ] = None,
    redis_option: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say for every line item why it may or may not bid on a request."""
    wire = _read(request)

    async def run() -> None:
        if config is not None:
            bundle = load_folder(config)
            opportunity = _opportunity(wire, bundle, exchange, None)
            person = _permitted(Person(frozenset(segment or ()), known=True), opportunity)
            codes, held = [*bundle.campaigns_by_code(), *bundle.line_items_by_account()], Held()
            market = Market(
                dict.fromkeys(codes, MULTIPLIER_ONE_Q16), dict.fromkeys(codes, MONEY_MAX), _unshaded
            )
        else:
            url = redis_url(redis_option, data)
            with redis_or_exit(url):
                async with redis_client(url) as client:
                    bundle = await bundle_store.fetch(client) or say_and_exit(
                        "no config is live there; publish one with `hustings config apply`"
                    )
                    identity = Identity(shared_secrets(data, "ids are hashed").identity_key)
                    opportunity = _opportunity(wire, bundle, exchange, identity)
                    person = _permitted(await _person(client, opportunity.user_hash), opportunity)
                    market, held = await _market(client, bundle), await _held(client, bundle)
        if not opportunity.currency:
            say_and_exit(
                f"no bid: the request takes neither {bundle.engine.currency} nor a currency with a rate"
            )
        privacy = sentences(opportunity.permissions, bundle.engine.gvl_vendor_id)
        answers = _answers(bundle, opportunity, person, market)
        if as_json:
            print_json(answers, privacy, held)
        else:
            show(answers, privacy, held, bundle.engine.currency)

    run_or_exit(run())


def _read(path: Path) -> BidRequest:
    try:
        body = path.read_bytes()
    except OSError as error:
        say_and_exit(f"can't read {path}: {error.strerror}")
    if len(body) > BODY_BYTES_MAX:
        say_and_exit(f"{path} is larger than a bid request may be, {BODY_BYTES_MAX} bytes")
    try:
        return decode_request(body)
    except MalformedRequest as error:
        say_and_exit(f"{path} is no bid request: {error}; exchanges get 400 for it")


def _opportunity(wire: BidRequest, bundle: Bundle, exchange: str, identity: Identity | None) -> Opportunity:
    profiles = {profile.id: profile for profile in bundle.exchanges}
    if exchange not in profiles:
        say_and_exit(f"no exchange {exchange!r} in the config; it has {', '.join(profiles) or 'none'}")
    profile = profiles[exchange]
    time_left_ms = time_to_answer_ms(wire, profile)
    refused = refused_unseen(wire, profile, suspicion_of(bundle.traffic), time_left_ms)
    if refused is not None:
        say_and_exit(f"no bid: {SENTENCES[refused]}")
    # Without a server anybody with an id stands for the one person asked about.
    hash_user = identity.hash if identity else lambda source, id_: 1
    return translate(
        wire,
        profile,
        bundle.engine.currencies(),
        hash_user,
        vendor_of(bundle.engine),
        linked_sources(bundle.exchanges),
    )


def _permitted(person: Person, opportunity: Opportunity) -> Person:
    """What of a person may be looked at: nothing of one whom the request does not name."""
    permissions = opportunity.permissions
    if not permissions.identify or not opportunity.user_hash:
        return Person()
    return person if permissions.profile else msgspec.structs.replace(person, segments=frozenset())


def _unshaded(cell: Cell, value_cpm_micros: int, ticket: np.uint64) -> int:
    return value_cpm_micros


async def _person(client: redis.asyncio.Redis, user_hash: int) -> Person:
    if not user_hash:
        return Person()
    (user_hash,) = await LinkStore(client).resolve([user_hash])
    indices = await SegmentRegistry(client).indices()
    now_s = int(time.time())
    today = now_s // SECONDS_PER_DAY
    words = words_of(indices)
    stored = await SegmentStore(client).read(user_hash, words, today)
    held = set(indices_from_bits(stored[0])) if stored else set()
    # A segment may have several names, and the config may use any of them.
    members = {name for name, index in indices.items() if index in held}
    packed = cast(bytes | None, await client.get(caps_key(user_hash)))
    return Person(members, known=True, seen=seen_of(packed, now_s))


async def _market(client: redis.asyncio.Redis, bundle: Bundle) -> Market:
    codes = [*bundle.campaigns_by_code(), *bundle.line_items_by_account()]
    plan = await pacing_plan.fetch(client)
    accounts = await Ledger(client).accounts(codes)
    multipliers = dict.fromkeys(codes, MULTIPLIER_ONE_Q16)
    if plan is not None:
        multipliers |= {code: entry.multiplier_q16 for code, entry in plan.campaigns.items()}
    shading = await fetch_shading(client)
    cells = cells_of(profile.id for profile in bundle.exchanges)
    table = shade_table(shading.rows if shading else {}, cells)

    def shaded(cell: Cell, value_cpm_micros: int, ticket: np.uint64) -> int:
        return int(shade(table, cells.index(cell), value_cpm_micros, ticket))

    # What workers hold on lease can bid as well as what is still free.
    available = {
        code: 0 if account.paused else account.free + account.leased for code, account in accounts.items()
    }
    sizes = AudienceSizes()
    await sizes.read(client)
    few = frozenset(too_small(bundle, sizes.counts))
    predict = predictor(await prediction.fetch(client))
    return Market(multipliers, dict.fromkeys(codes, 0) | available, shaded, few, predict)


async def _held(client: redis.asyncio.Redis, bundle: Bundle) -> Held:
    accounts = await Ledger(client).accounts(list(bundle.campaigns_by_code()))
    paused = frozenset(account.campaign_id for account in accounts.values() if account.paused)
    return Held(await global_stop.fetch(client), paused)


def _answers(bundle: Bundle, opportunity: Opportunity, person: Person, market: Market) -> Iterator[Answer]:
    """Decide on each imp and deal as the naive twin does, as often as it may be bid on."""
    ads = compile_snapshot(bundle, {segment.name: i for i, segment in enumerate(bundle.segments)}).ads
    line_items = {ad.line_item.id: index for index, ad in enumerate(ads)}
    profile = next(profile for profile in bundle.exchanges if profile.id == opportunity.exchange_id)
    now_s = int(time.time())
    chosen: list[tuple[Slot, Ad]] = []
    for slot in opportunity.slots:
        for deal, bids_max in _offers(slot, profile):
            for turn in range(bids_max):
                taken = _taken(slot, chosen)
                if len(taken.of_imp) >= bids_wanted(slot, profile) or len(chosen) >= profile.bids_max:
                    break
                verdicts = [
                    judge(ad, profile, opportunity, slot, deal, person, market, now_s, taken) for ad in ads
                ]
                winner = choose(verdicts, line_items, 0, 0)
                if winner is None and turn:
                    break
                yield Answer(slot, deal, verdicts, winner)
                if winner is None:
                    break
                chosen.append((slot, winner.ad))


def _offers(slot: Slot, exchange: ExchangeProfile) -> list[tuple[DealOffer | None, int]]:
    """Return the terms on which an imp is bid for, None being the open auction, and how often on each."""
    wanted = bids_wanted(slot, exchange)
    under_deal = wanted if slot.pod is not None and slot.pod.seconds else 1
    openly = wanted if slot.pod is None else under_deal
    return [(deal, openly if deal is None else under_deal) for deal in slot.terms]


def _taken(slot: Slot, chosen: list[tuple[Slot, Ad]]) -> Taken:
    """Return what of the ads chosen so far is on the same imp, and on others of its break."""
    break_id = slot.pod.id if slot.pod is not None else ""
    return Taken(
        of_imp=tuple(ad for other, ad in chosen if other is slot),
        of_break=tuple(
            ad
            for other, ad in chosen
            if other is not slot and break_id and other.pod is not None and other.pod.id == break_id
        ),
    )
