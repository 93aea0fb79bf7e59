"""Which requests are decided at all: those that can be answered in time, and that some ad might be for."""

from bidder.decision.reasons import Reason
from bidder.openrtb.suspicion import Suspicion
from bidder.openrtb.wire import BidRequest
from config.limits import TIME_LEFT_MS_MIN
from config.schema import ExchangeProfile


def time_to_answer_ms(wire: BidRequest, exchange: ExchangeProfile) -> int:
    """Return how long an answer may take to be in time at the exchange."""
    return (wire.tmax or exchange.tmax_default_ms) - exchange.network_allowance_ms


def refused_unseen(
    wire: BidRequest, exchange: ExchangeProfile, suspicion: Suspicion | None, time_left_ms: int
) -> Reason | None:
    """Return why a request is not bid on, whatever ads there are; None when it may be."""
    if time_left_ms < TIME_LEFT_MS_MIN:
        return Reason.TOO_LATE
    if exchange.paused:
        return Reason.EXCHANGE_PAUSED
    if wire.test == 1:
        return Reason.TEST
    if (wire.site is not None) + (wire.app is not None) + (wire.dooh is not None) > 1:
        return Reason.TWO_CHANNELS
    return suspicion.reason(wire, exchange) if suspicion is not None else None
