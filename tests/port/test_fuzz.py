"""Some hundred draws of each kind of hostile input at the bid port; `make fuzz` runs many more."""

import asyncio

import pytest

from tests.fuzz.targets import PortTargets

DRAWS = 300


@pytest.mark.parametrize("name", ["body", "headers", "consent"])
def test_hostile_input_is_answered_and_trips_nothing(name: str) -> None:
    (target,) = (target for target in PortTargets().all() if target.name == name)

    async def run() -> None:
        for seed in range(DRAWS):
            await target.draw(str(seed))

    asyncio.run(run())
