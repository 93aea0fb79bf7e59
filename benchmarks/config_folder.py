"""A config written out as the folder of YAML files that a campaign manager keeps.

    write_folder(sample_bundle(1_000, 256, SEED), Path("campaigns"))

One thing a line, as people write it: how long a start takes to read its folder is measured on this.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import orjson

from config.folder_files import ADVERTISERS_FOLDER, ENGINE_FILE, EXCHANGES_FOLDER, SEGMENTS_FILE
from config.money import BILLION, MICROS, CpmMicros, Money
from config.schema import Bundle, SegmentList


def write_folder(config: Bundle, folder: Path) -> None:
    """Write a config into a folder that does not exist yet; `config.load` reads it back."""
    (folder / EXCHANGES_FOLDER).mkdir(parents=True)
    (folder / ADVERTISERS_FOLDER).mkdir()
    (folder / ENGINE_FILE).write_text(_yaml(config.engine))
    (folder / SEGMENTS_FILE).write_text(_yaml(SegmentList(segments=config.segments)))
    for exchange in config.exchanges:
        (folder / EXCHANGES_FOLDER / f"{exchange.id}.yaml").write_text(_yaml(exchange))
    for advertiser in config.advertisers:
        (folder / ADVERTISERS_FOLDER / f"{advertiser.id}.yaml").write_text(_yaml(advertiser))


def _yaml(part: msgspec.Struct) -> str:
    # The schema's structs leave out what they would have anyway.
    return "\n".join(_lines(msgspec.to_builtins(part, enc_hook=_text))) + "\n"


def _text(value: object) -> str:
    """Write one of the schema's own scalars as a person would."""
    match value:
        case Money():
            return str(Decimal(value) / BILLION)
        case CpmMicros():
            return str(Decimal(value) / MICROS)
    return str(value)


def _lines(value: object) -> Iterator[str]:
    """Yield the lines of a value, without indentation of its own."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _under(f"{key}:", part)
    elif isinstance(value, list | tuple) and value:
        for part in value:
            first, *others = _lines(part)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        # JSON is YAML, quotes and all.
        yield orjson.dumps(value).decode()


def _under(key: str, value: object) -> Iterator[str]:
    if isinstance(value, dict | list | tuple) and value:
        yield key
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{key} {next(_lines(value))}"
