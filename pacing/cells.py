"""The cells of the price landscape: where auctions are alike enough to be counted together.

A **cell** is one format on one kind of device on one exchange. Its name, ``plain/banner/phone``, is how
Redis knows it; its row in the kernel's table follows from the three numbers, so that a candidate carries
one integer and an ad adds its format:

    row = (exchange · DEVICES + device) · FORMATS + format

AdCOM has eight types of device. A set-top box, a connected device and a television are one kind here,
because what is sold on them is the same: time on the large screen. The general type 1, "mobile or
tablet", stays by itself: an exchange that says 1 says it always.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, get_args

from config.schema import Format

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
DEVICES: Final = ("unknown", "mobile", "phone", "tablet", "desktop", "tv", "billboard")
CELLS_PER_EXCHANGE: Final = len(DEVICES) * len(FORMATS)
_DEVICE_OF_TYPE: Final = {
    1: "mobile",
    2: "desktop",
    3: "tv",
    4: "phone",
    5: "tablet",
    6: "tv",
    7: "tv",
    8: "billboard",
}
"""AdCOM list "Device Types"."""
_INDEX_OF_TYPE: Final = {type_: DEVICES.index(device) for type_, device in _DEVICE_OF_TYPE.items()}


class Cell(NamedTuple):
    """Where an auction is counted."""

    exchange_id: str
    format: str
    device: str

    @property
    def name(self) -> str:
        """The name of the cell: ``plain/banner/phone``."""
        return f"{self.exchange_id}/{self.format}/{self.device}"

    @property
    def parent(self) -> str:
        """The name of the cell's format on its exchange, whatever the device: ``plain/banner``."""
        return f"{self.exchange_id}/{self.format}"


def device_index(device_type: int) -> int:
    """Return the index in DEVICES of one of AdCOM's device types; of `unknown` for any other number."""
    return _INDEX_OF_TYPE.get(device_type, 0)


def first_cell(exchange_index: int, device: int) -> int:
    """Return the table's row of the first format; `device` is an index in DEVICES."""
    return exchange_index * CELLS_PER_EXCHANGE + device * len(FORMATS)


def cells_of(exchange_ids: Iterable[str]) -> list[Cell]:
    """Return the cells of the exchanges, in the order of the table's rows."""
    return [
        Cell(exchange_id, format_, device)
        for exchange_id in exchange_ids
        for device in DEVICES
        for format_ in FORMATS
    ]
