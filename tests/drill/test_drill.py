"""A short drill: the same processes and kills as `make kill-drill`, for some seconds."""

from pathlib import Path

from tests.drill.drill import Plan, run_drill


async def test_kills_in_earnest_cost_nobody_a_unit(tmp_path: Path) -> None:
    plan = Plan(rate=60.0, seconds=9.0, worker_kill_every_s=2.5, server_kills=1, wait_for_leases=False)
    figures = await run_drill(plan, tmp_path)
    assert figures.workers_killed >= 1
    assert figures.servers_killed == 1
    assert figures.bills > 0
    # A bill that comes when its money was given up, for the machine was too slow, is charged all the same.
    assert figures.overspend_units_max <= figures.late_units
    assert figures.unexplained_units_max == 0
    assert figures.duplicates_booked == 0
