"""Asking the worker of the checklist, and holding its answers to the exchange's rules."""

import json
from typing import Any

from loadtest.validate import problems
from tests.openrtb.checklist_config import EXCHANGES, checklist_bundle
from tests.openrtb.houses import house_of
from tests.running import RunningWorker

HOUSES = {profile.id: house_of(profile, checklist_bundle().engine) for profile in EXCHANGES}


VIDEO: dict[str, Any] = {"mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [2, 3, 7]}


MEMBER = {"user": {"buyeruid": "member"}}


async def bids(
    worker: RunningWorker, request: dict[str, Any], exchange: str = "plain"
) -> list[dict[str, Any]]:
    """Ask; hold the answer to the exchange's rules; return its bids."""
    status, body = await worker.ask(request, url=worker.url.replace("/plain", f"/{exchange}"))
    if status == 204:
        assert body == b""
        return []
    assert status == 200
    answer = json.loads(body)
    assert problems(request, answer, HOUSES[exchange]) == []
    return [bid for seat in answer.get("seatbid", ()) for bid in seat["bid"]]


async def nbr(worker: RunningWorker, request: dict[str, Any]) -> int:
    status, body = await worker.ask(request, url=worker.url.replace("/plain", "/curious"))
    assert status == 200
    answer = json.loads(body)
    assert (answer["id"], answer["seatbid"]) == (request["id"], [])
    number: int = answer["nbr"]
    return number


def video(**fields: Any) -> dict[str, Any]:
    return {"video": VIDEO | fields}
