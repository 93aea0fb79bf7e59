"""Whom a bid request is about: the one id, of all that it may hold, that the person is looked up by.

In this order, the first that is there:

    user.buyeruid     our own cookie, where the exchange keeps the table of ids (OpenRTB 2.6, appendix C)
    device.ifa        the device's advertising id, which outlives every cookie in an app
    the exchange's    `user.buyeruid` or `user.id`, as the profile's `id_field` says, where we keep the
    own id            table: a name in the exchange's space of ids, `id_source`
    user.eids         the first id of a source that syncs link to our cookies, else the first of all

Which of them were shown to be one person (`segments.links`) the look-up finds out. A `buyeruid` that only
repeats the advertising id is that id: BidSwitch sends it in apps (protocol.bidswitch.com). An id is
hashed at once and kept nowhere.
"""

from collections.abc import Callable, Iterable, Set

from bidder.openrtb import wire
from config.limits import USER_ID_CHARS_MAX
from config.schema import ExchangeProfile
from segments.identity import COOKIE

HashUser = Callable[[str, str], int]
"""(source, id) -> keyed 64-bit hash: `segments.identity.Identity.hash`."""

DEVICE_ID_SOURCE = "ifa"
_ALL_ZERO = frozenset("0-")
_NO_EXT = wire.UserExt()


def linked_sources(exchanges: Iterable[ExchangeProfile]) -> frozenset[str]:
    """Return the spaces of ids that syncs with these exchanges link to our cookies."""
    return frozenset(exchange.id_source for exchange in exchanges if exchange.id_source is not None)


def person_hash(
    user: wire.User | None,
    device: wire.Device,
    exchange: ExchangeProfile,
    sources: Set[str],
    hash_user: HashUser,
) -> int:
    """Return the hash of the id to look up, 0 when the request holds none.

    `sources` are the `linked_sources` of all exchanges.
    """
    buyeruid, ifa = user.buyeruid if user is not None else None, device.ifa
    ours = buyeruid and len(buyeruid) <= USER_ID_CHARS_MAX and exchange.id_field != "buyeruid"
    if buyeruid and ours and not (ifa and buyeruid.lower() == ifa.lower()):
        return hash_user(COOKIE, buyeruid)
    if ifa and len(ifa) <= USER_ID_CHARS_MAX and not _ALL_ZERO.issuperset(ifa):
        return hash_user(DEVICE_ID_SOURCE, ifa.lower())
    if user is None:
        return 0
    if exchange.id_field is not None and exchange.id_source is not None:
        own = buyeruid if exchange.id_field == "buyeruid" else user.id
        if own and len(own) <= USER_ID_CHARS_MAX:
            return hash_user(exchange.id_source, own)
    eids = user.eids or (user.ext or _NO_EXT).eids
    return _eid_hash(eids, sources, hash_user) if eids else 0


def _eid_hash(eids: list[wire.Eid], sources: Set[str], hash_user: HashUser) -> int:
    first: tuple[str, str] | None = None
    for eid in eids:
        if eid.source and eid.uids and 0 < len(eid.uids[0].id) <= USER_ID_CHARS_MAX:
            if eid.source in sources:
                return hash_user(eid.source, eid.uids[0].id)
            first = first or (eid.source, eid.uids[0].id)
    return hash_user(*first) if first is not None else 0
