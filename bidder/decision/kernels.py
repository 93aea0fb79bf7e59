"""The decision, compiled: a batch of candidates in, one choice and price for each out.

For each person of the batch the rows of their segments are ORed first, into the ads whose audience
could hold for them (`bidder.decision.gates`). Then for each candidate the rows of its values are ANDed
word by word, dearest ads first, and the bits that remain, and that the gates let through, are examined in
turn: floor, audience, frequency caps, budget. The paced price of an ad can't exceed its full price, so
the walk ends at the first ad whose full price is below the best found.

An ad that a gate keeps out counts as out of its audience, like one that is examined and found so. To
say so takes one such ad, mostly the first, so they are looked at only until one is found.

`bidder.decision.decide` wraps it; `decide_batch.py_func` is the same code as plain Python.
"""

import numpy as np
from numpy.typing import NDArray

from bidder.decision.snapshot import Arrays
from config.compiled import kernel
from pacing.kernels import capped
from pacing.shading import shade
from segments.kernels import clauses_hold

BID, NO_MATCH, BELOW_FLOOR, OUT_OF_AUDIENCE, CAPPED, NO_BUDGET, IMP_TAKEN = range(7)
"""`bidder.decision.reasons.Reason`, as the integers a kernel can hold."""

MULTIPLIER_BITS = 16
"""A pacing multiplier is in 1/65536."""

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BIT_OF_HASH = np.zeros(64, np.int64)
for _bit in range(64):
    _BIT_OF_HASH[((1 << _bit) * int(_DE_BRUIJN) % 2**64) >> 58] = _bit


@kernel
def lowest_bit(word: np.uint64) -> int:
    """Return the index of the lowest set bit of a uint64 that is not 0, by de Bruijn hashing."""
    isolated = word & (~word + np.uint64(1))
    return int(_BIT_OF_HASH[(isolated * _DE_BRUIJN) >> np.uint64(58)])


@kernel
def lot(draw: np.uint64, candidate: int, line_item: int) -> np.uint64:
    """Return the number an ad draws in a tie: splitmix64 (Steele, Lea, Flood 2014) of all three."""
    x = draw + np.uint64(candidate) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(line_item + 1)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def _is_capped(
    arrays: Arrays,
    line_item: int,
    campaign: int,
    known: bool,
    records: NDArray[np.void],
    start: int,
    end: int,
    now_s: int,
) -> bool:
    campaign_row = len(arrays.line_item_campaign) + campaign
    for row in (line_item, campaign_row):
        per_day = arrays.cap_per_day[row]
        per_hour = arrays.cap_per_hour[row]
        if per_day == 0 and per_hour == 0:
            continue
        # Someone we can't recognise, or whose counts did not arrive, may have seen it enough.
        if not known or capped(records, start, end, arrays.cap_codes[row], per_day, per_hour, now_s):
            return True
    return False


@kernel
def open_gates(arrays: Arrays, user_bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return, for each user, the ads whose audience could hold: uint64[U, W].

    user_bits: uint64[U, S].
    """
    users, words = user_bits.shape[0], arrays.ungated.shape[0]
    gates = np.empty((users, words), np.uint64)
    for user in range(users):
        for word in range(words):
            gates[user, word] = arrays.ungated[word]
        for segment_word in range(user_bits.shape[1]):
            segments = user_bits[user, segment_word]
            while segments != 0:
                segment = segment_word * 64 + lowest_bit(segments)
                segments &= segments - np.uint64(1)
                row = arrays.gate_row[segment]
                if row >= 0:
                    for word in range(words):
                        gates[user, word] |= arrays.gates[row, word]
    return gates


@kernel
def _reason_kept_out(
    arrays: Arrays,
    multiplier_q16: NDArray[np.int64],
    word: int,
    ads: np.uint64,
    floor_cpm_micros: int,
) -> int:
    """How far the furthest of these ads came, whose audience does not hold."""
    furthest = NO_MATCH
    while ads != 0:
        line_item = arrays.ad_line_item[word * 64 + lowest_bit(ads)]
        ads &= ads - np.uint64(1)
        full_cpm_micros = arrays.line_item_cpm_micros[line_item]
        value = (full_cpm_micros * multiplier_q16[arrays.line_item_campaign[line_item]]) >> MULTIPLIER_BITS
        if value >= floor_cpm_micros and value > 0:
            return OUT_OF_AUDIENCE
        furthest = BELOW_FLOOR
        if full_cpm_micros < floor_cpm_micros:
            break
    return furthest


@kernel
def decide_batch(
    arrays: Arrays,
    active: NDArray[np.uint64],
    candidates: NDArray[np.void],
    blocked: NDArray[np.int64],
    media: NDArray[np.uint64],
    user_bits: NDArray[np.uint64],
    user_known: NDArray[np.bool_],
    cap_records: NDArray[np.void],
    cap_offsets: NDArray[np.int64],
    shading: NDArray[np.int64],
    multiplier_q16: NDArray[np.int64],
    available: NDArray[np.int64],
    reserved: NDArray[np.int64],
    now_s: int,
    draw: np.uint64,
    choice: NDArray[np.int64],
    price_cpm_micros: NDArray[np.int64],
    reason: NDArray[np.int64],
) -> None:
    """Choose an ad and a price for each candidate, reserving budget as it goes.

    n candidates, U users (row 0 is nobody), W words of ads, S words of segments, C campaigns.

    active uint64[W]: ads that may run now. candidates CANDIDATE[n] (`bidder.decision.columns`), blocked
    int64[m] its flat rows. media uint64[rows, W]. user_bits uint64[U, S]. user_known bool[U]: the
    person's caps are known. cap_records CAP_RECORD[k], those of user u being cap_offsets[u] to
    [u + 1], int64[U + 1]. shading int64[cells, bins]. multiplier_q16 int64[C]. now_s: epoch seconds.
    draw: uint64 that settles ties between equal prices.

    Written in place: available int64[C] and reserved int64[C, slots] (`pacing.lease`); the results
    choice int64[n] (ad index, -1 for none), price_cpm_micros int64[n], reason int64[n].
    """
    slots = reserved.shape[1]
    gates = open_gates(arrays, user_bits)
    taken_imp = -1
    for i in range(len(candidates)):
        candidate = candidates[i]
        choice[i] = -1
        price_cpm_micros[i] = 0
        if candidate.imp == taken_imp:
            reason[i] = IMP_TAKEN
            continue
        furthest = NO_MATCH
        best_ad = -1
        best_value = 0
        best_price = 0
        best_lot = np.uint64(0)
        user = candidate.user
        finished = False
        for word in range(len(active)):
            # The reason matters only while nobody bids, and until it can't be a better one.
            why_wanted = best_ad < 0 and furthest < OUT_OF_AUDIENCE
            dearest_cpm_micros = arrays.word_cpm_micros[word]
            if dearest_cpm_micros < best_value or (
                not why_wanted and dearest_cpm_micros < candidate.floor_cpm_micros
            ):
                break
            ads = active[word] & media[candidate.media, word] & arrays.bits[candidate.deal, word]
            if not why_wanted:
                ads &= gates[user, word]
            if ads == 0:
                continue
            for k in range(candidate.required.shape[0]):
                ads &= arrays.bits[candidate.required[k], word]
            in_place = np.uint64(0)
            for k in range(candidate.places.shape[0]):
                in_place |= arrays.bits[candidate.places[k], word]
            ads &= in_place
            if ads == 0:
                continue
            for k in range(candidate.blocked_start, candidate.blocked_end):
                ads &= ~arrays.bits[blocked[k], word]
            if why_wanted:
                kept_out = ads & ~gates[user, word]
                reason_kept_out = _reason_kept_out(
                    arrays, multiplier_q16, word, kept_out, candidate.floor_cpm_micros
                )
                furthest = max(furthest, reason_kept_out)
            ads &= gates[user, word]
            while ads != 0:
                ad = word * 64 + lowest_bit(ads)
                ads &= ads - np.uint64(1)
                line_item = arrays.ad_line_item[ad]
                full_cpm_micros = arrays.line_item_cpm_micros[line_item]
                if full_cpm_micros < best_value or full_cpm_micros < candidate.floor_cpm_micros:
                    # Every later ad is as cheap or cheaper.
                    furthest = max(furthest, BELOW_FLOOR)
                    finished = True
                    break
                campaign = arrays.line_item_campaign[line_item]
                value = (full_cpm_micros * multiplier_q16[campaign]) >> MULTIPLIER_BITS
                if value < candidate.floor_cpm_micros or value == 0:
                    furthest = max(furthest, BELOW_FLOOR)
                    continue
                if value < best_value:
                    continue
                if not clauses_hold(
                    user_bits[user],
                    arrays.clauses,
                    arrays.line_item_clauses[line_item],
                    arrays.line_item_clauses[line_item + 1],
                ):
                    furthest = max(furthest, OUT_OF_AUDIENCE)
                    continue
                if _is_capped(
                    arrays,
                    line_item,
                    campaign,
                    user_known[user],
                    cap_records,
                    cap_offsets[user],
                    cap_offsets[user + 1],
                    now_s,
                ):
                    furthest = max(furthest, CAPPED)
                    continue
                price = value
                if candidate.first_price != 0:
                    price = shade(shading, candidate.cell + arrays.ad_format[ad], value)
                if price < candidate.floor_cpm_micros or candidate.fixed_price != 0:
                    price = candidate.floor_cpm_micros
                if available[campaign] < price:
                    furthest = max(furthest, NO_BUDGET)
                    continue
                ticket = lot(draw, i, line_item)
                if value > best_value or best_ad < 0 or ticket > best_lot:
                    best_ad, best_value, best_price, best_lot = ad, value, price, ticket
            if finished:
                break
        if best_ad < 0:
            reason[i] = furthest
            continue
        campaign = arrays.line_item_campaign[arrays.ad_line_item[best_ad]]
        available[campaign] -= best_price
        reserved[campaign, (now_s + candidate.hold_s) % slots] += best_price
        choice[i] = best_ad
        price_cpm_micros[i] = best_price
        reason[i] = BID
        taken_imp = candidate.imp
