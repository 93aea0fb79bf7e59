"""The part of a strict exchange's judgement that is about several bids at once.

An ordinary imp takes few bids, each with another creative. A dynamic pod (an imp with `poddur`) takes up
to `maxseq` bids that fill its seconds together. Imps that share a `podid` are one ad break, and so are
the bids of one dynamic imp: what `poddedupe` lists may not be the same in two of them (OpenRTB 2.6,
3.2.7; IAB implementation guide 7.6). Alternatives for one ordinary imp are never shown together, so
they may be alike.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from loadtest.house import House
from loadtest.markup import AUDIO, VIDEO, MarkupError, read_vast
from loadtest.reading import Object, id_text, is_count, list_of, shown, texts_of

DEDUPE_ADOMAIN, DEDUPE_CATEGORY, DEDUPE_CREATIVE, DEDUPE_MEDIA = 1, 2, 3, 4
"""AdCOM "Pod Deduplication Settings"; 5 is none."""
SLOTS_GUARANTEED = {0: (0,), 1: (0, 1), -1: (0, -1), 2: (0, 1, -1, 2)}
"""What `slotinpod` of an offer lets a bid ask for: 0 any place, 1 first, -1 last, 2 first or last."""


class Answer(NamedTuple):
    """One bid beside what it answers: the impression and the media object of it."""

    bid: Object
    imp: Object
    media: Object


def is_dynamic(media: Object) -> bool:
    """Tell whether a video or audio object is a dynamic pod, which several bids share."""
    poddur = media.get("poddur")
    return is_count(poddur) and poddur > 0


def slot_problems(media: Object, bid: Object) -> Iterator[str]:
    """Judge the place in a pod that one bid asks for; worded to end a sentence about the bid."""
    if "slotinpod" not in bid:
        return
    if not is_dynamic(media):
        yield "it asks for a slotinpod, and the impression is no dynamic pod"
        return
    offered = media.get("slotinpod", 0)
    guaranteed = SLOTS_GUARANTEED.get(offered, (0,)) if isinstance(offered, int) else (0,)
    if bid["slotinpod"] not in guaranteed:
        yield f"slotinpod {shown(bid['slotinpod'])} is not a place the seller guarantees"


def shared_problems(answers: list[Answer], house: House) -> Iterator[str]:
    """Judge the bids of one response beside each other; whole sentences."""
    by_imp: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_imp[id_text(answer.imp.get("id"))].append(answer)
    for imp_id, group in by_imp.items():
        dynamic = [answer for answer in group if is_dynamic(answer.media)]
        ordinary = [answer for answer in group if not is_dynamic(answer.media)]
        if len(ordinary) > house.bids_per_imp_max:
            most = house.bids_per_imp_max
            yield f"Impression {shown(imp_id)} has {len(ordinary)} bids; {most} is the most."
        # A creative may be offered under a deal and openly: the exchange takes one of the two.
        terms = [(answer.bid.get("crid"), answer.bid.get("dealid")) for answer in ordinary]
        if len(set(map(repr, terms))) < len(terms):
            yield f"Impression {shown(imp_id)} is offered one creative twice on the same terms."
        if dynamic:
            yield from _pod_length_problems(imp_id, dynamic)
    for name, pod in _pods(answers).items():
        yield from _repetition_problems(name, pod)


def _pod_length_problems(imp_id: str, group: list[Answer]) -> Iterator[str]:
    media = group[0].media
    most, seconds_max = media.get("maxseq"), media["poddur"]
    if is_count(most) and most and len(group) > most:
        yield f"Pod {shown(imp_id)} has {len(group)} bids; maxseq {most} is the most."
    seconds = sum(answer.bid["dur"] for answer in group if is_count(answer.bid.get("dur")))
    if seconds > seconds_max:
        yield f"Pod {shown(imp_id)} is filled with {seconds} seconds of its {seconds_max}."


def _pods(answers: list[Answer]) -> dict[str, list[Answer]]:
    """Group what may be shown in one ad break."""
    pods: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        pod_id = id_text(answer.media.get("podid"))
        if pod_id:
            pods[pod_id].append(answer)
        elif is_dynamic(answer.media):
            pods[f"imp {answer.imp.get('id')}"].append(answer)
    return pods


def _repetition_problems(name: str, pod: list[Answer]) -> Iterator[str]:
    rules = {rule for answer in pod for rule in list_of(answer.media.get("poddedupe")) if is_count(rule)}
    for rule, what, marks_of in (
        (DEDUPE_ADOMAIN, "advertiser", lambda bid: texts_of(bid.get("adomain"))),
        (DEDUPE_CATEGORY, "category", lambda bid: texts_of(bid.get("cat"))),
        (DEDUPE_CREATIVE, "creative", lambda bid: [bid.get("crid")]),
        (DEDUPE_MEDIA, "media file", _media_urls),
    ):
        if rule not in rules:
            continue
        seen: dict[object, Answer] = {}
        for answer in pod:
            for mark in marks_of(answer.bid):
                first = seen.setdefault(mark, answer)
                shown_together = first.imp is not answer.imp or is_dynamic(answer.media)
                if first is not answer and shown_together:
                    yield f"Pod {shown(name)} has {what} {shown(mark)} twice, which poddedupe forbids."


def _media_urls(bid: Object) -> list[str]:
    adm = bid.get("adm")
    if bid.get("mtype") not in (VIDEO, AUDIO) or not isinstance(adm, str):
        return []
    try:
        return [file.url for file in read_vast(adm).media_files]
    except MarkupError:
        return []
