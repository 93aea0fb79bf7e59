"""What a sound folder must agree on within itself: each disagreement, with its place."""

from pathlib import Path

import msgspec
import pytest

from config.check import check
from config.limits import CREATIVES_PER_LINE_ITEM_MAX, LINE_ITEMS_MAX, SEGMENTS_MAX
from config.load import load_folder
from config.schema import Bundle, Segment, code_of
from tests.config.folder import ADVERTISER, SEGMENTS, edited, write_folder
from tests.config.spoilt import HERE, faults_of, the_fault_of

SHARED_CODE = ("line-135146", "line-174766")
"""Two ids with one code, found by trying."""


def other_advertiser(campaign: str, line_item: str, creative: str) -> dict[str, str]:
    text = f"""\
id: elm
domain: elm.example
categories: [IAB13]
campaigns:
  - id: {campaign}
    budget: {{total: 5}}
    line_items:
      - id: {line_item}
        bid_cpm: 1
        creatives: [{creative.replace(HERE, "")}]
creatives:
  - id: {creative}
    format: banner
    w: 300
    h: 250
    image_url: https://cdn.elm.example/box.png
    landing_url: https://elm.example/
"""
    return {"advertisers/zelm.yaml": text.replace("id: elm", "id: zelm")}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        # Ids, over all advertisers.
        (
            other_advertiser(f"{HERE}spring", "x", "y"),
            "`spring` is the id of another campaign already; rename one of them "
            "(the first is at advertisers/oak.yaml:6:9)",
        ),
        (
            other_advertiser("x", f"{HERE}spring-radio", "y"),
            "`spring-radio` is the id of another line item already",
        ),
        (other_advertiser("x", "y", f"{HERE}oak-box"), "`oak-box` is the id of another creative already"),
        (
            {"segments.yaml": f"{SEGMENTS}  - name: {HERE}renters\n"},
            "the segment `renters` is listed twice; take one out (the first is at segments.yaml:4:11)",
        ),
        (
            {"segments.yaml": f"{SEGMENTS}  - name: {HERE}Not\n"},
            "`Not` means something in an audience; choose another name",
        ),
        (
            {"segments.yaml": f"{SEGMENTS}    owner: {HERE}oack\n"},
            "there is no file advertisers/oack.yaml; did you mean `oak`?",
        ),
        (
            {"segments.yaml": f"{SEGMENTS}    rule: {HERE}{{event: visit}}\n"},
            "a visit needs `pages`: a domain, and the beginning of a path if you like",
        ),
        (
            {"segments.yaml": f"{SEGMENTS}    rule: {{event: click, pages: {HERE}[oak.example]}}\n"},
            "`pages` are for `event: visit`, and this is `event: click`; take them out",
        ),
        (
            {"segments.yaml": f"{SEGMENTS}    rule: {{event: click, campaign: {HERE}sprin}}\n"},
            "there is no campaign `sprin`; did you mean `spring`?",
        ),
        (
            {"segments.yaml": f"{SEGMENTS}    rule: {{event: click, campaign: {HERE}spring}}\n"},
            "`spring` is a campaign of oak, who alone may know who saw it; write `owner: oak`",
        ),
        (
            {
                "segments.yaml": f"{SEGMENTS}    rule: {{event: visit, pages: [oak.example/loans], "
                f"campaign: {HERE}spring}}\n"
            },
            "a visit belongs to no campaign; take `campaign` out, or choose another event",
        ),
        # Names that must exist.
        (
            edited("[oak-box, oak-clip]", f"[oak-box, {HERE}oak-clp]"),
            "this advertiser has no creative `oak-clp`; did you mean `oak-clip`?",
        ),
        (
            edited("audience: homeowners", f"audience: {HERE}home-owners and not renters"),
            "there is no segment `home-owners` in segments.yaml; did you mean `homeowners`?",
        ),
        (
            edited("audience: homeowners", f"audience: {{any: [renters, {{not: {HERE}homeowner}}]}}"),
            "there is no segment `homeowner` in segments.yaml; did you mean `homeowners`?",
        ),
        (
            edited("[plain]", f"[{HERE}plane]"),
            "there is no file exchanges/plane.yaml; did you mean `plain`?",
        ),
        (
            edited("America/Chicago", f"{HERE}America/Chicgo"),
            "`America/Chicgo` is not a time zone; write a name like America/Chicago, or an offset like "
            "-06:00; did you mean `America/Chicago`?",
        ),
        (edited("[ios]", f"[{HERE}iOS]"), "did you mean `ios`?"),
        (edited("[ios]", f"[{HERE}beos]"), "`beos` is not one of android, ios"),
        # Audiences.
        (
            edited("audience: homeowners", f"audience: {HERE}homeowners and"),
            "`audience`: expected a segment name, `not` or `(` at character 15, where the text ends",
        ),
        (
            edited("audience: homeowners", f"audience: {HERE}{{all: []}}"),
            "`audience`: all: `all` has an empty list",
        ),
        # Time.
        (
            edited("start: 2026-01-01", f"start: {HERE}2026-13-01"),
            "`2026-13-01` is not on the calendar",
        ),
        (edited("start: 2026-01-01", f"start: {HERE}soon"), "`soon` is not a moment; write it like"),
        (
            edited("2026-01-01, end: 2031-01-01", f"2026-01-01, end: {HERE}2026-01-01"),
            "this flight ends before it starts",
        ),
        (
            edited("{start: 2026-02-01}", f"{{start: 2026-02-01, end: {HERE}2026-01-31}}"),
            "this flight ends before it starts",
        ),
        (
            edited("{start: 2026-02-01}", f"{HERE}{{start: 2031-01-01}}"),
            "this flight lies wholly outside its campaign's",
        ),
        (
            edited("from_hour: 8, to_hour: 20", f"from_hour: {HERE}20, to_hour: 20"),
            "`from_hour` 20 is not before `to_hour` 20; for a night, write two dayparts",
        ),
        (edited("days: [mon]", f"days: {HERE}[]"), "`days` is an empty list"),
        (
            edited("even\n", f"even\n    pacing_weights: [{{from_hour: {HERE}9, to_hour: 9, percent: 5}}]\n"),
            "`from_hour` 9 is not before `to_hour` 9; for a night, write two weights",
        ),
        (
            edited("even\n", f"asap\n    pacing_weights:\n      - {HERE}percent: 50\n"),
            "`pacing: asap` follows no plan that could be weighted",
        ),
        # Money.
        (
            edited("12.50", f"{HERE}1000.01"),
            "the daily budget, $1,000.01, is more than the total, $1,000.00",
        ),
        (edited('"$1,000", daily: 12.50', f"{HERE}0"), "a budget of 0 never spends"),
        (edited("12.50", f"{HERE}0"), "a daily budget of 0 never spends"),
        (edited("daily: 12.50", f"hourly: {HERE}0"), "an hourly budget of 0 never spends"),
        (
            edited("daily: 12.50", f"daily: 12.50, hourly: {HERE}13"),
            "this hourly budget, $13.00, is more than the daily, $12.50",
        ),
        (
            edited("bid_cpm: 4.50", f"budget: {{daily: {HERE}12.51}}\n        bid_cpm: 4.50"),
            "this daily budget, $12.51, is more than the campaign's daily, $12.50",
        ),
        (
            edited("bid_cpm: 4.50", f"budget: {{total: {HERE}0}}\n        bid_cpm: 4.50"),
            "pause the line item",
        ),
        (edited("cpm: 3", f"cpm: {HERE}0"), "a bid of 0 never wins"),
        # Creatives.
        (
            edited("[oak-box, oak-clip]", f"{HERE}[]"),
            "the line item `spring-web` has no creatives; name at least one",
        ),
        (
            edited("[oak-box, oak-clip]", f"[oak-box, {HERE}oak-box]"),
            "the creative `oak-box` is named twice here",
        ),
        (
            edited(
                "    image_url: https://cdn.oak.example/box.png\n",
                "",
                "- id: oak-box",
                f"- {HERE}id: oak-box",
            ),
            "the banner creative `oak-box` needs `image_url`",
        ),
        (
            edited("    w: 300\n", "", "- id: oak-box", f"- {HERE}id: oak-box"),
            "the banner creative `oak-box` needs `w`",
        ),
        (
            edited("    duration_seconds: 15\n", "", "- id: oak-clip", f"- {HERE}id: oak-clip"),
            "the video creative `oak-clip` needs `duration_seconds`",
        ),
        (
            edited("    duration_seconds: 30\n", "", "- id: oak-song", f"- {HERE}id: oak-song"),
            "the audio creative `oak-song` needs `duration_seconds`",
        ),
        (
            edited(
                '[{url: "https://cdn.oak.example/a.mp3", mime: audio/mpeg}]',
                "[]",
                "- id: oak-song",
                f"- {HERE}id: oak-song",
            ),
            "the audio creative `oak-song` needs `media_files`",
        ),
        (
            edited(
                "    native: {title: Oak, sponsored_by: Oak Savings}\n",
                "",
                "- id: oak-card",
                f"- {HERE}id: oak-card",
            ),
            "the native creative `oak-card` needs `native`",
        ),
        (
            edited("duration_seconds: 30", f"duration_seconds: 30\n    w: {HERE}300"),
            "audio creatives can't have `w`",
        ),
        (
            edited("format: banner", f"format: banner\n    native: {HERE}{{title: x, sponsored_by: y}}"),
            "banner creatives can't have `native`; take it out, or change the format",
        ),
        (
            edited("video/mp4", f"{HERE}audio/mpeg"),
            "`audio/mpeg` is not video; video creatives need a type like video/mp4",
        ),
        (
            edited("audio/mpeg", f"{HERE}video/mp4"),
            "`video/mp4` is not audio; audio creatives need a type like audio/mpeg",
        ),
        (
            edited(
                '{url: "https://cdn.oak.example/a.mp4", mime: video/mp4, w: 640,',
                f'{HERE}{{url: "https://cdn.oak.example/a.mp4", mime: video/mp4,',
            ),
            "a video file needs `w`",
        ),
        # Inventory.
        (
            edited("[news.example]", f"[{HERE}https://news.example/]"),
            "`https://news.example/` is not a domain; write it bare and in small letters",
        ),
    ],
)
def test_each_disagreement_is_told_with_its_place(
    tmp_path: Path, texts: dict[str, str], message: str
) -> None:
    fault, place = the_fault_of(tmp_path, texts)
    assert message in fault.message
    assert f"{fault.file}:{fault.line}:{fault.column}" == place


@pytest.mark.parametrize("kind", ["campaign", "line item", "creative"])
def test_ids_that_share_a_code_are_refused(tmp_path: Path, kind: str) -> None:
    first, second = SHARED_CODE
    assert code_of(first) == code_of(second)
    old = {"campaign": "id: spring\n", "line item": "id: spring-radio\n", "creative": "id: oak-card\n"}[kind]
    ids = {"campaign": "x", "line item": "y", "creative": "z"} | {kind: second}
    texts = edited(old, f"id: {first}\n") | other_advertiser(
        ids["campaign"], ids["line item"], ids["creative"]
    )
    if kind == "creative":
        texts["advertisers/oak.yaml"] = texts["advertisers/oak.yaml"].replace("oak-card]", f"{first}]")
    (fault,) = faults_of(write_folder(tmp_path, texts))
    assert (
        f"the {kind} ids `{second}` and `{first}` share a ledger code; rename the newer one" in fault.message
    )


def test_two_exchanges_that_share_a_code_are_refused(tmp_path: Path) -> None:
    (fault,) = faults_of(
        write_folder(tmp_path, {f"exchanges/{id_}.yaml": f"id: {id_}\n" for id_ in SHARED_CODE})
    )
    assert "share a ledger code" in fault.message


def test_an_id_may_name_things_of_different_kinds(tmp_path: Path) -> None:
    texts = edited("id: spring\n", "id: oak\n", "id: spring-web", "id: oak")
    assert load_folder(write_folder(tmp_path, texts)).advertisers


def test_too_many_creatives_in_a_line_item(tmp_path: Path) -> None:
    ids = [f"box-{number}" for number in range(CREATIVES_PER_LINE_ITEM_MAX + 1)]
    blocks = "".join(
        f"  - {{id: {id_}, format: banner, w: 1, h: 1, image_url: 'https://x.example/', "
        "landing_url: 'https://x.example/'}\n"
        for id_ in ids
    )
    texts = edited("[oak-box, oak-clip]", f"{HERE}[{', '.join(ids)}]")
    texts["advertisers/oak.yaml"] += blocks
    fault, place = the_fault_of(tmp_path, texts)
    assert "at most 64 creatives, and this has 65" in fault.message
    assert place == f"{fault.file}:{fault.line}:{fault.column}"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_folder(write_folder(tmp_path_factory.mktemp("sound")))


def test_too_many_segments(sound: Bundle) -> None:
    more = tuple(Segment(name=f"s{number}") for number in range(SEGMENTS_MAX + 1 - len(sound.segments)))
    at_limit = msgspec.structs.replace(sound, segments=sound.segments + more[1:])
    assert check(at_limit) == ()
    (finding,) = check(msgspec.structs.replace(sound, segments=sound.segments + more))
    assert finding.path == ("segments", SEGMENTS_MAX)
    assert finding.message == "the folder has more than 4,096 segments"


def test_too_many_line_items(sound: Bundle) -> None:
    (oak,) = sound.advertisers
    (spring,) = oak.campaigns
    plain = spring.line_items[1]
    many = tuple(msgspec.structs.replace(plain, id=f"li-{number}") for number in range(LINE_ITEMS_MAX + 1))
    campaign = msgspec.structs.replace(spring, line_items=many)
    advertiser = msgspec.structs.replace(oak, campaigns=(campaign,))
    findings = check(msgspec.structs.replace(sound, advertisers=(advertiser,)))
    # So many ids that a few may share a code, too.
    (finding,) = [finding for finding in findings if "share a ledger code" not in finding.message]
    assert finding.message == "the folder has more than 100,000 line items"
    assert finding.path[-1] == LINE_ITEMS_MAX


def test_a_refused_id_is_not_also_called_unknown(tmp_path: Path) -> None:
    texts = edited("  - id: oak-box\n    format", "  - format")
    texts |= {"segments.yaml": SEGMENTS.replace("name: homeowners", "title: homeowners")}
    texts |= {"exchanges/plain.yaml": "id: plane\n"}
    faults = faults_of(write_folder(tmp_path, texts))
    assert not [fault for fault in faults if "there is no" in fault.message or "has no" in fault.message]
    assert ADVERTISER.count("oak-box") == 2


def test_a_line_item_may_name_its_own_and_shared_segments_alone(tmp_path: Path) -> None:
    owned = SEGMENTS.replace("renters\n", "renters\n    owner: zelm\n")
    owned = owned.replace("They own it.\n", "They own it.\n    owner: oak\n")
    texts = other_advertiser("c", "l", "b") | {"segments.yaml": owned}
    load_folder(write_folder(tmp_path / "sound", texts))
    theirs = edited("audience: homeowners", "audience: homeowners and not renters")
    (fault,) = faults_of(write_folder(tmp_path / "spoilt", texts | theirs))
    assert fault.message.startswith("the segment `renters` belongs to zelm; name one of your own")
    # What is near in name but another's is not suggested.
    near = edited("audience: homeowners", "audience: rentersx")
    (fault,) = faults_of(write_folder(tmp_path / "near", texts | near))
    assert "did you mean `renters`" not in fault.message


def test_a_segment_has_an_owner_and_a_rule(tmp_path: Path) -> None:
    text = f"""{SEGMENTS}  - name: clicked
    owner: oak
    rule: {{event: click, campaign: spring, days: 7}}
  - name: visited
    rule: {{event: visit, pages: [oak.example/loans, news.example]}}
"""
    segments = load_folder(write_folder(tmp_path, {"segments.yaml": text})).segments
    assert segments[-2].owner == "oak"
    assert segments[-1].rule is not None
    assert (segments[-1].rule.days, segments[-1].rule.pages) == (30, ("oak.example/loans", "news.example"))
