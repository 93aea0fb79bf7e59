"""Golden scenarios: one claim about bidding, one config, one request, and what must come of it.

A scenario is a JSON file in `scenarios/`, and its name is its claim:

    claim       the sentence that is proved
    config      what differs from the smallest sound folder, in the words of the YAML files (below)
    segments    the segments the person is in
    exchange    the one asked through; `plain` unless said
    request     what differs from `tests.factories.bid_request()`; null removes
    imp         what differs from its one imp; null removes
    expected    {"bids": [...]}: so many, each with at least these fields
                {"no_bid": reason, "why": text}: the reason counted, and what `hustings explain` says
                {"status": 400}: refused, empty

The config is `engine`, `traffic`, `exchanges` (each with an id), `segments`, and one advertiser's parts or
`advertisers`, a list of such parts:

    advertiser  fields of the advertiser      campaign    fields of its one campaign
    line_items  fields of each line item      creatives   names of SAMPLES, or fields over one (`like`)

A field of an expected bid compares as it is; null means absent; an object compares field by field; a name
that ends in ` has` wants each of its texts to occur in the field's text, and ` lacks` none.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.factories import bid_request

FOLDER = Path(__file__).parent / "scenarios"
CDN = "https://cdn.shop.example"

Object = dict[str, Any]

SAMPLES: dict[str, Object] = {
    "banner": {"format": "banner", "image_url": f"{CDN}/300x250.png", "w": 300, "h": 250},
    "video": {
        "format": "video",
        "duration_seconds": 15,
        "media_files": [
            {"url": f"{CDN}/15.mp4", "mime": "video/mp4", "w": 1280, "h": 720, "bitrate_kbps": 2_000}
        ],
    },
    "audio": {
        "format": "audio",
        "duration_seconds": 30,
        "media_files": [{"url": f"{CDN}/30.mp3", "mime": "audio/mpeg", "bitrate_kbps": 128}],
    },
    "native": {
        "format": "native",
        "native": {
            "title": "Autumn boots, half the weight",
            "sponsored_by": "Shop",
            "description": "Light boots for long walks.",
            "call_to_action": "Look inside",
            "icon": {"url": f"{CDN}/icon.png", "w": 80, "h": 80},
            "image": {"url": f"{CDN}/main.png", "w": 1200, "h": 627},
        },
    },
}


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    claim: str
    expected: Object
    config: Object = {}
    segments: list[str] = []
    exchange: str = "plain"
    request: Object = {}
    imp: Object = {}

    def body(self) -> bytes:
        """Return the request as JSON."""
        base = bid_request()
        imp = _merged(base["imp"][0], self.imp)
        return json.dumps(_merged({**base, "imp": [imp]}, self.request)).encode()

    def write_config(self, folder: Path) -> Path:
        """Write the config as a folder of YAML files and return it. JSON is YAML."""
        config = dict(self.config)
        exchanges = config.pop("exchanges", [{"id": "plain"}])
        segments = config.pop("segments", [])
        files: dict[str, Object] = {
            "engine.yaml": config.pop("engine", {}),
            "segments.yaml": {
                "segments": [part if isinstance(part, dict) else {"name": part} for part in segments]
            },
        }
        if "traffic" in config:
            files["traffic.yaml"] = config.pop("traffic")
        files |= {f"exchanges/{exchange['id']}.yaml": exchange for exchange in exchanges}
        for number, parts in enumerate(config.pop("advertisers", [config])):
            advertiser = _advertiser(number, parts)
            files[f"advertisers/{advertiser['id']}.yaml"] = advertiser
        for name, value in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        return folder


def read(path: Path) -> Scenario:
    return msgspec.json.decode(path.read_bytes(), type=Scenario)


def differences(expected: Any, actual: Any, path: str = "bid") -> Iterator[str]:
    """Yield where a bid is not what a scenario expects of it."""
    if not isinstance(expected, dict):
        if expected != actual:
            yield f"{path} is {actual!r}, not {expected!r}"
        return
    if not isinstance(actual, dict):
        yield f"{path} is {actual!r}, no object"
        return
    for name, value in expected.items():
        field, _, test = name.partition(" ")
        found = actual.get(field)
        if test:
            for text in [value] if isinstance(value, str) else value:
                if (text in str(found)) != (test == "has"):
                    yield f"{path}.{field} {test} not {text!r}: {found!r}"
        else:
            yield from differences(value, found, f"{path}.{field}")


def _advertiser(number: int, parts: Object) -> Object:
    suffix = f"-{number + 1}" if number else ""
    unknown = parts.keys() - {"advertiser", "campaign", "line_items", "creatives"}
    assert not unknown, f"a scenario's config has no {', '.join(sorted(unknown))}"
    creatives = [_creative(part, suffix) for part in parts.get("creatives", ["banner"])]
    names = [creative["id"] for creative in creatives]
    items = [
        {"id": f"line-{index + 1}{suffix}", "bid_cpm": 5, "creatives": names} | item
        for index, item in enumerate(parts.get("line_items", [{}]))
    ]
    campaign = {"id": f"campaign-1{suffix}", "budget": {"total": 1000}, "pacing": "asap", "line_items": items}
    advertiser = {
        "id": f"shop{suffix}",
        "domain": f"shop{suffix}.example",
        "categories": ["IAB18-1"],
        "seat": f"seat-shop{suffix}",
        "campaigns": [_merged(campaign, parts.get("campaign", {}))],
        "creatives": creatives,
    }
    return _merged(advertiser, parts.get("advertiser", {}))


def _creative(part: str | Object, suffix: str) -> Object:
    fields: Object = {"like": part} if isinstance(part, str) else dict(part)
    sample = fields.pop("like")
    landing_url = f"https://shop{suffix}.example/"
    return _merged({"id": f"{sample}-1{suffix}", "landing_url": landing_url, **SAMPLES[sample]}, fields)


def _merged(base: Object, changes: Object) -> Object:
    return {name: value for name, value in {**base, **changes}.items() if value is not None}
