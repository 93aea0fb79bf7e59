"""Reading JSON whose types nobody has checked: what is not of the type asked for counts as absent."""

from typing import Any, TypeGuard

Object = dict[str, Any]
COUNT_END = 2**31
_SHOWN_CHARS_MAX = 60


def list_of(value: object) -> list[Any]:
    """Return a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def objects_of(value: object) -> list[Object]:
    """Return the objects in a list; what else it holds is left out."""
    return [item for item in list_of(value) if isinstance(item, dict)]


def texts_of(value: object) -> list[str]:
    """Return the texts in a list; what else it holds is left out."""
    return [item for item in list_of(value) if isinstance(item, str)]


def object_of(value: object) -> Object:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number from 0 that fits 31 bits; JSON's true is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < COUNT_END


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is a number; JSON's true is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def id_text(value: object) -> str:
    """Return an id as text, "" for none. Some exchanges send numbers, and take text back."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def shown(value: object) -> str:
    """Write a value for a sentence about it, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
