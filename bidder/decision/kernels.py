"""The decision, compiled: a batch of candidates in, one choice and price for each out.

For each person of the batch the rows of their segments are ORed first, into the ads whose audience
could hold for them (`bidder.decision.gates`). Then for each candidate the rows of its values are ANDed
word by word, dearest ads first, and the bits that remain, and that the gates let through, are examined in
turn: floor, audience, frequency caps, budget. The paced price of an ad can't exceed its full price, so
the walk ends at the first ad whose full price is below the best found.

A bid reserves its price and counts for the frequency caps at once, so that of two requests in a batch the
second finds what the first has left.

Whom an ad is for is known sooner than what the moment is worth to it, so the value of a line item that pays
for clicks, say, is worked out only for people of its audience; until then its highest bid stands for it.

An ad that a gate keeps out counts as out of its audience, like one that is examined and found so. To
say so takes one such ad, mostly the first, so they are looked at only until one is found.

`bidder.decision.decide` wraps it; `decide_batch.py_func` is the same code as plain Python.
"""

import numpy as np
from numpy.typing import NDArray

from bidder.decision.arrays import Arrays
from bidder.decision.marks import write_marks
from bidder.decision.pods import KIND_BITS
from bidder.decision.value_kernels import value_of
from bidder.decision.values import Values
from config.compiled import inlined, kernel
from config.limits import BIDS_PER_RESPONSE_MAX
from pacing.features import PACKED_BYTES, alone, hour_mark
from pacing.kernels import counts_until, hold_pending, impressions_left, pending_count, pending_key, share_of
from pacing.pending import Pending
from pacing.prediction import Scoring
from pacing.price_grid import ANY_BAND, band_of
from pacing.shading import shade
from segments.kernels import clauses_hold

BID, NO_MATCH, BELOW_FLOOR, OUT_OF_AUDIENCE, CAPPED, NO_BUDGET, IMP_TAKEN = range(7)
"""`bidder.decision.reasons.Reason`, as the integers a kernel can hold."""

MULTIPLIER_BITS = 16
"""A pacing multiplier is in 1/65536."""
_KIND_MASK = (1 << KIND_BITS) - 1
_MILLION = 1_000_000

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


@inlined
def _is_capped(
    row: int,
    codes: NDArray[np.int64],
    limits: NDArray[np.int64],
    known: bool,
    user_hash: np.uint64,
    records: NDArray[np.void],
    start: int,
    end: int,
    pending: Pending,
    now_s: int,
) -> bool:
    """Whether the cap of a row of `Arrays.cap_limits` is reached."""
    # Someone we can't recognise, or whose counts did not arrive, may have seen it enough.
    if not known:
        return True
    left = impressions_left(records, start, end, codes[row], limits, row, now_s)
    if left <= 0:
        return True
    key = pending_key(user_hash, codes[row])
    return pending_count(pending, key, now_s) >= share_of(left, key, pending)


@inlined
def _hold_for_caps(
    own: int,
    campaigns: int,
    codes: NDArray[np.int64],
    user_hash: np.uint64,
    pending: Pending,
    until_s: int,
    now_s: int,
) -> None:
    """Count a bid for the caps of its line item and campaign (rows, or -1), as if it had been shown."""
    if own >= 0:
        hold_pending(pending, pending_key(user_hash, codes[own]), until_s, now_s)
    # A line item that is named as its campaign is counted under the same code.
    if campaigns >= 0 and (own < 0 or codes[own] != codes[campaigns]):
        hold_pending(pending, pending_key(user_hash, codes[campaigns]), until_s, now_s)


@inlined
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
def _floor_of(candidate: np.record, floors: NDArray[np.int64], floor_class: int) -> int:
    """The floor of one ad, which may depend on its length."""
    if candidate.floors < 0:
        return int(candidate.floor_cpm_micros)
    return int(floors[candidate.floors + floor_class])


@kernel
def _paced(full_cpm_micros: int, candidate: np.record, multiplier_q16: int) -> int:
    """The value of an ad under its campaign's pacing, which a guaranteed deal is not subject to."""
    if candidate.guaranteed != 0:
        return full_cpm_micros
    return (full_cpm_micros * multiplier_q16) >> MULTIPLIER_BITS


@kernel
def _cost(price_cpm_micros: int, candidate: np.record) -> int:
    """What a play may come to, rounded up: it may be several impressions, or part of one."""
    millionths = candidate.multiplier_millionths
    if millionths == _MILLION:
        return price_cpm_micros
    # In two parts, neither of which overflows: a price is below 2**37, and so are millionths 2**40.
    part = price_cpm_micros * (millionths % _MILLION)
    return int(price_cpm_micros * (millionths // _MILLION) + (part + _MILLION - 1) // _MILLION)


@kernel
def _clash(arrays: Arrays, ad: int, other: int, dedupe: int) -> bool:
    """Whether two ads share a key of a kind that a break wants once (`bidder.decision.pods`)."""
    for i in range(arrays.ad_keys[ad], arrays.ad_keys[ad + 1]):
        key = arrays.keys[i]
        if dedupe >> (key & _KIND_MASK) & 1 == 0:
            continue
        for j in range(arrays.ad_keys[other], arrays.ad_keys[other + 1]):
            if arrays.keys[j] == key:
                return True
    return False


@kernel
def _without_taken(
    arrays: Arrays,
    word: int,
    ads: np.uint64,
    candidate: np.record,
    chosen: NDArray[np.int64],
    first_here: int,
    chosen_count: int,
    seconds_left: int,
) -> np.uint64:
    """Take out of a word the ads that can't join those chosen for the same imp or break.

    chosen int64[BIDS_PER_RESPONSE_MAX]: those of the break so far, of which those of the imp begin at
    first_here. On an imp of one ad, several bids are alternatives: they only may not be the same.
    """
    kept = ads
    while ads != 0:
        bit = ads & (~ads + np.uint64(1))
        ad = word * 64 + lowest_bit(ads)
        ads &= ads - np.uint64(1)
        if candidate.pod_seconds != 0 and arrays.ad_seconds[ad] > seconds_left:
            kept &= ~bit
            continue
        for i in range(chosen_count):
            other = chosen[i]
            here = i >= first_here
            if here and arrays.ad_creative[ad] == arrays.ad_creative[other]:
                kept &= ~bit
                break
            if (not here or candidate.pod_seconds != 0) and _clash(arrays, ad, other, candidate.dedupe):
                kept &= ~bit
                break
    return kept


@kernel
def _reason_kept_out(
    arrays: Arrays,
    multiplier_q16: NDArray[np.int64],
    word: int,
    ads: np.uint64,
    candidate: np.record,
    floors: NDArray[np.int64],
) -> int:
    """How far the furthest of these ads came, whose audience does not hold."""
    furthest = NO_MATCH
    while ads != 0:
        ad = word * 64 + lowest_bit(ads)
        ads &= ads - np.uint64(1)
        line_item = arrays.ad_line_item[ad]
        full_cpm_micros = arrays.line_item_cpm_micros[line_item]
        value = _paced(full_cpm_micros, candidate, multiplier_q16[arrays.line_item_campaign[line_item]])
        if value >= _floor_of(candidate, floors, arrays.ad_floor_class[ad]) and value > 0:
            return OUT_OF_AUDIENCE
        furthest = BELOW_FLOOR
        if full_cpm_micros < candidate.floor_cpm_micros:
            break
    return furthest


@kernel
def decide_batch(
    arrays: Arrays,
    active: NDArray[np.uint64],
    candidates: NDArray[np.void],
    blocked: NDArray[np.int64],
    floors: NDArray[np.int64],
    values: Values,
    scoring: Scoring,
    contexts: NDArray[np.void],
    places: NDArray[np.void],
    slot_marks: NDArray[np.void],
    media: NDArray[np.uint64],
    left: NDArray[np.uint64],
    user_bits: NDArray[np.uint64],
    user_known: NDArray[np.bool_],
    user_hash: NDArray[np.uint64],
    cap_records: NDArray[np.void],
    cap_offsets: NDArray[np.int64],
    shading: NDArray[np.int64],
    multiplier_q16: NDArray[np.int64],
    available: NDArray[np.int64],
    reserved: NDArray[np.int64],
    missed: NDArray[np.bool_],
    pending: Pending,
    now_s: int,
    draw: np.uint64,
    choice: NDArray[np.int64],
    price_cpm_micros: NDArray[np.int64],
    reason: NDArray[np.int64],
    value_band: NDArray[np.int64],
    marks: NDArray[np.uint8],
) -> None:
    """Choose an ad and a price for each candidate, reserving budget as it goes.

    n candidates, U users (row 0 is nobody), W words of ads, S words of segments, C campaigns.

    active uint64[W]: ads that may run now. candidates CANDIDATE[n] (`bidder.decision.columns`), blocked
    int64[m] its flat rows, floors int64[k] its flat floors. values: what line items pay
    (`bidder.decision.values`), scoring: the live model (`pacing.prediction`). contexts CONTEXT[], places
    PLACE[] and slot_marks SLOT_MARK[] (`bidder.decision.contexts`, `places`, `media`): what candidates name;
    their sums are written (`value_of`). media and left uint64[rows, W]: ads that fit, and ads that no list
    keeps out. user_bits uint64[U, S]. user_known bool[U]: the person's caps are known. user_hash uint64[U]:
    what the person is known by. cap_records CAP_RECORD[k], those of user u being cap_offsets[u] to [u + 1],
    int64[U + 1]. shading int64[cells, bins]. multiplier_q16 int64[B]. now_s: epoch seconds. draw: uint64
    that settles ties between equal prices, and which bids explore (`pacing.shading`).

    Written in place: available int64[B], reserved int64[B, slots] and missed bool[B] (`pacing.lease`), of C
    campaigns and then of the line items with a budget of their own; pending (`pacing.pending`); the results
    choice int64[n] (ad index, -1 for none), price_cpm_micros int64[n], reason int64[n], value_band int64[n];
    and, of bids, marks uint8[n x PACKED_BYTES] (`bidder.decision.marks`).
    """
    slots = reserved.shape[1]
    gates = open_gates(arrays, user_bits)
    hour = hour_mark(now_s)
    hour_alone = np.zeros(len(scoring.live), np.int64)
    for table in range(len(scoring.live)):
        if scoring.live[table]:
            hour_alone[table] = alone(scoring.weights[table], hour)
    request = pod = imp = -1
    # Of the request, the break and the imp at hand: bids made, ads chosen, time left.
    bids = chosen_count = first_here = seconds_left = 0
    chosen = np.empty(BIDS_PER_RESPONSE_MAX, np.int64)
    for i in range(len(candidates)):
        candidate = candidates[i]
        choice[i] = -1
        price_cpm_micros[i] = 0
        value_band[i] = ANY_BAND
        if candidate.request != request:
            request = candidate.request
            bids = 0
        if candidate.pod != pod:
            pod = candidate.pod
            chosen_count = 0
        if candidate.imp != imp:
            imp = candidate.imp
            first_here = chosen_count
            seconds_left = candidate.pod_seconds
        if chosen_count - first_here >= candidate.imp_bids_max or bids >= candidate.bids_max:
            reason[i] = IMP_TAKEN
            continue
        context, place = contexts[candidate.context], places[candidate.place]
        crowded = chosen_count > 0 or candidate.pod_seconds != 0
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
            ads &= left[candidate.left, word]
            if not why_wanted:
                ads &= gates[user, word]
            if ads == 0:
                continue
            for k in range(context.required.shape[0]):
                ads &= arrays.bits[context.required[k], word]
            in_place = np.uint64(0)
            for k in range(place.within.shape[0]):
                in_place |= arrays.bits[place.within[k], word]
            ads &= in_place
            if ads == 0:
                continue
            for k in range(candidate.blocked_start, candidate.blocked_end):
                ads &= ~arrays.bits[blocked[k], word]
            if crowded:
                ads = _without_taken(
                    arrays, word, ads, candidate, chosen, first_here, chosen_count, seconds_left
                )
            if why_wanted:
                kept_out = ads & ~gates[user, word]
                reason_kept_out = _reason_kept_out(arrays, multiplier_q16, word, kept_out, candidate, floors)
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
                value = _paced(full_cpm_micros, candidate, multiplier_q16[campaign])
                floor_cpm_micros = _floor_of(candidate, floors, arrays.ad_floor_class[ad])
                if value < floor_cpm_micros or value == 0:
                    furthest = max(furthest, BELOW_FLOOR)
                    continue
                if value < best_value:
                    continue
                plain = values.plain[line_item]
                if not plain:
                    # So far its value was the most that it can be, and whom an ad is for is known sooner.
                    if not clauses_hold(
                        user_bits[user],
                        arrays.clauses,
                        arrays.line_item_clauses[line_item],
                        arrays.line_item_clauses[line_item + 1],
                    ):
                        furthest = max(furthest, OUT_OF_AUDIENCE)
                        continue
                    worth_cpm_micros = value_of(
                        values,
                        scoring,
                        candidate,
                        context,
                        place,
                        slot_marks[candidate.media],
                        hour,
                        hour_alone,
                        user_bits[user],
                        ad,
                        campaign,
                        full_cpm_micros,
                    )
                    value = _paced(worth_cpm_micros, candidate, multiplier_q16[campaign])
                    if value < floor_cpm_micros or value == 0:
                        furthest = max(furthest, BELOW_FLOOR)
                        continue
                    if value < best_value:
                        continue
                ticket = lot(draw, i, line_item)
                if best_ad >= 0 and value == best_value and ticket <= best_lot:
                    # It would lose the tie, so nothing more need be known of it.
                    continue
                if plain and not clauses_hold(
                    user_bits[user],
                    arrays.clauses,
                    arrays.line_item_clauses[line_item],
                    arrays.line_item_clauses[line_item + 1],
                ):
                    furthest = max(furthest, OUT_OF_AUDIENCE)
                    continue
                reached = False
                for k in range(2):
                    cap = arrays.line_item_caps[line_item, k]
                    if cap >= 0 and not reached:
                        reached = _is_capped(
                            cap,
                            arrays.cap_codes,
                            arrays.cap_limits,
                            user_known[user],
                            user_hash[user],
                            cap_records,
                            cap_offsets[user],
                            cap_offsets[user + 1],
                            pending,
                            now_s,
                        )
                if reached:
                    furthest = max(furthest, CAPPED)
                    continue
                price = value
                if candidate.first_price != 0:
                    cell = context.cell + arrays.ad_format[ad]
                    price = shade(shading, cell, value, np.uint64(ticket))
                if price < floor_cpm_micros or candidate.fixed_price != 0:
                    price = floor_cpm_micros
                own = arrays.line_item_own_budget[line_item]
                cost = _cost(price, candidate)
                if available[campaign] < cost or (own >= 0 and available[own] < cost):
                    missed[campaign] |= available[campaign] < cost
                    if own >= 0:
                        missed[own] |= available[own] < cost
                    furthest = max(furthest, NO_BUDGET)
                    continue
                best_ad, best_value, best_price, best_lot = ad, value, price, ticket
            if finished:
                break
        if best_ad < 0:
            reason[i] = furthest
            continue
        line_item = arrays.ad_line_item[best_ad]
        campaign = arrays.line_item_campaign[line_item]
        cost = _cost(best_price, candidate)
        slot = (now_s + candidate.hold_s) % slots
        available[campaign] -= cost
        reserved[campaign, slot] += cost
        own = arrays.line_item_own_budget[line_item]
        if own >= 0:
            available[own] -= cost
            reserved[own, slot] += cost
        _hold_for_caps(
            arrays.line_item_caps[line_item, 0],
            arrays.line_item_caps[line_item, 1],
            arrays.cap_codes,
            user_hash[user],
            pending,
            counts_until(pending, candidate.hold_s, now_s),
            now_s,
        )
        choice[i] = best_ad
        price_cpm_micros[i] = best_price
        value_band[i] = band_of(best_value)
        reason[i] = BID
        write_marks(marks, i * PACKED_BYTES, candidate, context, place, slot_marks[candidate.media])
        chosen[chosen_count] = best_ad
        chosen_count += 1
        bids += 1
        seconds_left -= arrays.ad_seconds[best_ad]
