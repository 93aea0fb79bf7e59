"""The controller of a trial: as far as the hold-back for late bills goes, with the real rule."""

from pacing.account import Account
from pacing.hold_back import LateBills, first_look, held_back, look_again, prior_share
from pacing.pace import INTERVAL_S
from tests.pacing.naive_ledger import NaiveLedger
from tests.sim.clock import START_S, Clock
from tests.sim.server import CODES, Server
from tests.sim.world import LATE_SHARE, World


def start_holding_back(world: World, clock: Clock, server: Server) -> None:
    """Look at every account each INTERVAL_S and keep back what its late bills say, and the others'."""
    late: dict[int, LateBills] = {}
    others = [LateBills(at_s=START_S, billed_ever=0, overdue_ever=0, billed=1e6, overdue=1e6 * LATE_SHARE)]
    if world.kind != "rushed":
        others.clear()

    def tick() -> None:
        clock.at(INTERVAL_S, tick)
        if server.away:
            return
        for code in CODES:
            ledger = server.books.ledgers[code]
            account = _account(code, ledger)
            before = late.get(code)
            late[code] = (
                look_again(before, account, clock.now_s) if before else first_look(account, clock.now_s)
            )
        prior = prior_share([*late.values(), *others])
        for code in CODES:
            ledger, end_s = server.books.ledgers[code], START_S + world.seconds
            ledger.held = held_back(late[code], prior, ledger.total, START_S, end_s, clock.now_s)

    tick()


def _account(code: int, ledger: NaiveLedger) -> Account:
    """What the real ledger would tell; the rule reads what was billed and what of it was overdue."""
    return Account(
        code=code,
        campaign_id=f"{code:x}",
        time_zone="UTC",
        total=ledger.total,
        daily=ledger.daily,
        spent=ledger.spent,
        day=ledger.day,
        spent_day=ledger.spent_day,
        leased=ledger.leased,
        late=ledger.late,
        overdue=ledger.overdue,
        adjusted=ledger.adjusted,
        paused=ledger.paused,
        ceiling=None,
        ceiling_day=None,
        leases=ledger.leases,
    )
