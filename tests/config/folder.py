"""A small sound config folder to spoil: each test edits one text of it."""

from pathlib import Path

ENGINE = "currency: USD\n"
SEGMENTS = """\
segments:
  - name: homeowners
    description: They own it.
  - name: renters
  - name: frequent-voters
"""
EXCHANGE = """\
id: plain
name: Plain
"""
ADVERTISER = """\
id: oak
name: Oak Savings
domain: oak.example
categories: [IAB13]
campaigns:
  - id: spring
    time_zone: America/Chicago
    budget: {total: "$1,000", daily: 12.50}
    pacing: even
    flight: {start: 2026-01-01, end: 2031-01-01}
    line_items:
      - id: spring-web
        bid_cpm: 4.50
        audience: homeowners
        targeting:
          operating_systems: [ios]
          exchanges: [plain]
          inventory: {include: {domains: [news.example]}}
          dayparts: [{days: [mon], from_hour: 8, to_hour: 20}]
        creatives: [oak-box, oak-clip]
        flight: {start: 2026-02-01}
        frequency_cap: {per_day: 3}
      - id: spring-radio
        bid_cpm: 3
        creatives: [oak-song, oak-card]
creatives:
  - id: oak-box
    format: banner
    w: 300
    h: 250
    image_url: https://cdn.oak.example/box.png
    landing_url: https://oak.example/
  - id: oak-clip
    format: video
    duration_seconds: 15
    media_files: [{url: "https://cdn.oak.example/a.mp4", mime: video/mp4, w: 640, h: 360}]
    landing_url: https://oak.example/
  - id: oak-song
    format: audio
    duration_seconds: 30
    media_files: [{url: "https://cdn.oak.example/a.mp3", mime: audio/mpeg}]
    landing_url: https://oak.example/
  - id: oak-card
    format: native
    native: {title: Oak, sponsored_by: Oak Savings}
    landing_url: https://oak.example/
"""
TEXTS = {
    "engine.yaml": ENGINE,
    "segments.yaml": SEGMENTS,
    "exchanges/plain.yaml": EXCHANGE,
    "advertisers/oak.yaml": ADVERTISER,
}


def write_folder(path: Path, texts: dict[str, str] | None = None) -> Path:
    """Write the sound folder, with some of its files replaced or added, and return its path."""
    for name, text in (TEXTS | (texts or {})).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def edited(old: str, new: str, *more: str, name: str = "advertisers/oak.yaml") -> dict[str, str]:
    """Return one file of the sound folder with `old` (found exactly once) replaced by `new`, and so on."""
    text = TEXTS[name]
    edits = (old, new, *more)
    for before, after in zip(edits[::2], edits[1::2], strict=True):
        assert text.count(before) == 1, f"{before!r} occurs {text.count(before)} times in {name}"
        text = text.replace(before, after)
    return {name: text}
