"""A short drill: the same faults as `make drill`, for some seconds."""

from pathlib import Path

from tests.fault_drill.drill import Plan, broken, run_drill


async def test_no_fault_under_load_loses_anything_that_is_promised(tmp_path: Path) -> None:
    plan = Plan(rate=20.0, seconds=2.5, worker_kills=1)
    figures = await run_drill(plan, tmp_path)
    assert broken(plan, figures) == []
    assert figures.bills > 0
    made = [fault for fault in figures.faults if not fault.skipped]
    assert {fault.fault for fault in made} >= {"workers", "redis", "config"}
    assert all(fault.requests for fault in made)
