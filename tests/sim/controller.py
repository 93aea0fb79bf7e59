"""The controller of a trial: as far as the hold-back for late bills goes, with the real rule."""

from pacing.hold_back import LateBills, first_look, held_back, look_again
from pacing.ledger import Account
from pacing.pace import INTERVAL_S
from tests.pacing.naive_ledger import NaiveLedger
from tests.sim.clock import START_S, Clock
from tests.sim.server import CODES, Server
from tests.sim.world import World


def start_holding_back(world: World, clock: Clock, server: Server) -> None:
    """Look at every account each INTERVAL_S and keep back what its late bills say."""
    late: dict[int, LateBills] = {}

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
            end_s = START_S + world.seconds
            ledger.held = held_back(late[code], ledger.total, START_S, end_s, clock.now_s)

    clock.at(INTERVAL_S, tick)


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
