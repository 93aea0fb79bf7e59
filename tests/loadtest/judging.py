"""Judging a good bid after one change to it or to what was asked."""

from collections.abc import Callable
from typing import Any

import orjson

from loadtest.house import STRICT, House
from loadtest.validate import problems
from tests.loadtest.answers import MEDIA, Object, bid, request, response

Change = Callable[[Object], object]


def judged(
    media: str,
    change: Change,
    imp_fields: Object | None = None,
    house: House = STRICT,
    **request_fields: Any,
) -> list[str]:
    """Judge a good bid on an offer of `media` after a change to the bid."""
    asked = {**request(**{media: MEDIA[media], **(imp_fields or {})}), **request_fields}
    answer = bid(asked["imp"][0])
    change(answer)
    return problems(asked, response(asked, answer), house)


def on_media(name: str, change: Change | None = None, **media_fields: Any) -> list[str]:
    """Judge a good bid after a change to it and to the media object it answers."""
    return judged(name, change or unchanged, {name: MEDIA[name] | media_fields})


def unchanged(answer: Object) -> None:
    pass


def replacing(field: str, old: str, new: str) -> Change:
    def change(answer: Object) -> None:
        assert old in answer[field]
        answer[field] = answer[field].replace(old, new)

    return change


def native_change(change: Change) -> Change:
    def apply(answer: Object) -> None:
        native = orjson.loads(answer["adm"])
        change(native)
        answer["adm"] = orjson.dumps(native).decode()

    return apply


def setting(**fields: Any) -> Change:
    return lambda answer: answer.update(fields)


def both(*changes: Change) -> Change:
    def apply(answer: Object) -> None:
        for change in changes:
            change(answer)

    return apply
