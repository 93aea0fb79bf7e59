"""How much of the traffic each campaign could bid on: what a plan's shape is learned from (`pacing.traffic`).

    matched = count_matches(snapshot, columns, users)       # int64[C], one row for each campaign

What is counted depends on the request and the config alone. A campaign matches a candidate when one of its
ads fits in every way, its audience holds, and its full price reaches the floor. Schedule, pauses, pacing,
frequency caps and budgets don't matter, nor whether another campaign would have paid more: all of these
change with what the campaign does, and a plan made from them would follow itself.

That takes a walk through all matching ads, which the decision is spared, so the bid port asks for one batch
in many (`pacing.traffic.SAMPLED`).
"""

import numpy as np
from numpy.typing import NDArray

from bidder.decision.arrays import Arrays
from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users
from bidder.decision.kernels import lowest_bit, open_gates
from bidder.decision.snapshot import Snapshot
from config.compiled import kernel
from segments.kernels import clauses_hold


@kernel
def add_matches(
    arrays: Arrays,
    candidates: NDArray[np.void],
    blocked: NDArray[np.int64],
    contexts: NDArray[np.void],
    places: NDArray[np.void],
    media: NDArray[np.uint64],
    left: NDArray[np.uint64],
    user_bits: NDArray[np.uint64],
    matched: NDArray[np.int64],
) -> None:
    """Add to matched int64[C], of each campaign, how many candidates it matches.

    The other arguments are those of `bidder.decision.kernels.decide_batch`.
    """
    gates = open_gates(arrays, user_bits)
    words = arrays.bits.shape[1]
    last = np.full(len(matched), -1, np.int64)
    for i in range(len(candidates)):
        candidate = candidates[i]
        context, place = contexts[candidate.context], places[candidate.place]
        user = candidate.user
        for word in range(words):
            if arrays.word_cpm_micros[word] < candidate.floor_cpm_micros:
                break
            ads = media[candidate.media, word] & arrays.bits[candidate.deal, word]
            ads &= left[candidate.left, word] & gates[user, word]
            for k in range(context.required.shape[0]):
                ads &= arrays.bits[context.required[k], word]
            in_place = np.uint64(0)
            for k in range(place.within.shape[0]):
                in_place |= arrays.bits[place.within[k], word]
            ads &= in_place
            for k in range(candidate.blocked_start, candidate.blocked_end):
                ads &= ~arrays.bits[blocked[k], word]
            while ads != 0:
                line_item = arrays.ad_line_item[word * 64 + lowest_bit(ads)]
                ads &= ads - np.uint64(1)
                campaign = arrays.line_item_campaign[line_item]
                if last[campaign] == i:
                    continue
                if arrays.line_item_cpm_micros[line_item] < candidate.floor_cpm_micros:
                    break
                if clauses_hold(
                    user_bits[user],
                    arrays.clauses,
                    arrays.line_item_clauses[line_item],
                    arrays.line_item_clauses[line_item + 1],
                ):
                    last[campaign] = i
                    matched[campaign] += 1


def count_matches(snapshot: Snapshot, columns: CandidateColumns, users: Users) -> NDArray[np.int64]:
    """Return how many candidates of a batch each campaign matches: int64[C], in the order of the snapshot's
    campaigns, which are the first of its `account_codes`."""
    candidates, blocked, *_ = columns.arrays()
    matched = np.zeros(int(snapshot.arrays.line_item_campaign.max(initial=-1)) + 1, np.int64)
    if len(candidates):
        add_matches(
            snapshot.arrays,
            candidates,
            blocked,
            snapshot.contexts.records,
            snapshot.places.records,
            snapshot.media.bits,
            snapshot.blocks.bits,
            users.bits,
            matched,
        )
    return matched
