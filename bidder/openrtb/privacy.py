"""What a request or a cookie sync permits us to do with a person's data.

    request_permissions(request, vendor)            a bid request's regs, user and device
    sync_permissions(query, headers, vendor)        a sync URL's parameters, the browser's headers

Both collect Signals, and one pure function, `permissions`, judges them. Its readings, in order:

* A child, by COPPA or California's s22580: nothing personal, and no ZIP.
* `lmt`, `dnt`, Global Privacy Control, an opt-out of sale in a US Privacy String: no ids.
* GPP: the sections in `gpp_sid`, and no others. A string without `gpp_sid` is a no, and so is a section
  that is missing, unreadable or unknown. Sections of the United States permit what nothing
  in them speaks against (`bidder.openrtb.consent.united_states`).
* The GDPR applies when `gdpr` says so at either home, when section 2 is in `gpp_sid`, or when nothing
  says whether it does but a consent string came: somebody asked the person. It does not apply when
  `gdpr` is 0, nor when there is neither flag nor string.

Where the GDPR applies, the vendor (`engine.gvl_vendor_id`) needs a basis for each use, by every string
there is (`user.consent`, section 2):

    sync                purpose 1 (store and access information on a device)
    identify            purposes 1 and 2 (select basic ads, which frequency capping is part of)
    profile             purposes 1, 2, 3 and 4 (create profiles, and use them to select ads)
    precise_geo         special feature 1, and a basis for anything at all

TCF Canada (section 5) is read alike, its express consent as consent and its implied consent as legitimate
interest, but knows no purpose 1: there, sync needs purpose 2.

A basis (TCF policies, "publisher restrictions"): what the publisher forbids is forbidden. A purpose is
registered on consent unless `engine.gvl_legitimate_interests` has it; where the publisher demands the other
basis, a purpose in `engine.gvl_flexible_purposes` follows, any other is forbidden. Consent is the vendor's
bit and the purpose's, legitimate interest likewise. Purposes 1 and 3 to 6 take nothing but consent (TCF 2.2).

Measurement (purpose 7) is not asked for: impressions, clicks and conversions are counted by bid and
name nobody.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from bidder.openrtb.consent.bits import Unreadable
from bidder.openrtb.consent.gpp import GppString
from bidder.openrtb.consent.permissions import (
    ALL_PERMITTED,
    ALL_USES,
    ID_USES,
    Cause,
    Permissions,
    Refusal,
    Use,
    permissions_after,
)
from bidder.openrtb.consent.tcf import SPECIAL_FEATURES, TcString, purpose_bit, read_canada, read_europe
from bidder.openrtb.consent.united_states import (
    US_PRIVACY_SECTION,
    US_SECTIONS,
    section_objection,
    us_privacy_objection,
)
from bidder.openrtb.wire import BidRequest, Device, Regs, RegsExt
from config.limits import (
    CONSENT_ANSWERS_CACHED_MAX,
    GPP_SECTIONS_MAX,
    GPP_STRING_CHARS_MAX,
    TC_STRING_CHARS_MAX,
)
from config.schema import Engine

EUROPE_SECTION, CANADA_SECTION = 2, 5
_NO_SECTIONS = frozenset((-1, 3, 4))
"""In `gpp_sid`: "none applies", and the header and integrity sections, which need not be named."""
DISCLOSURE_REQUIRED_FROM_S = 1_772_323_200
"""1 March 2026: strings made after 28 February need the disclosed vendors segment (TCF 2.3)."""
PRECISE_LOCATION_FEATURE = 1

_US_PRIVACY_QUIET = frozenset((None, "", "1---", "1YNN", "1YNY", "1NNN"))
"""The commonest that permit."""
_US_PRIVACY_CHARS_MAX = 5
"""One more than it has: enough to see that it is too long."""
_UNKNOWN_SECTION = 0
_UNREADABLE = "!"
"""Stands for a string past its limit, which is not worth remembering, and for two that differ."""


class Signals(NamedTuple):
    """All that is said about one person's privacy. Absent strings are empty."""

    gdpr: bool | None = None
    tc_string: str = ""
    gpp: str = ""
    gpp_sections: tuple[int, ...] | None = None
    us_privacy: str = ""
    global_privacy_control: bool = False
    coppa: bool = False
    minor_in_california: bool = False
    limited_tracking: bool = False
    do_not_track: bool = False


class Vendor(NamedTuple):
    """Who we are in the Global Vendor List; `id` None when we are not in it."""

    id: int | None = None
    legitimate_interests: tuple[int, ...] = ()
    flexible_purposes: tuple[int, ...] = ()


NO_VENDOR = Vendor()


def vendor_of(engine: Engine) -> Vendor:
    """Return who an installation says it is."""
    return Vendor(engine.gvl_vendor_id, engine.gvl_legitimate_interests, engine.gvl_flexible_purposes)


_NO_REGS = Regs()
_NO_REGS_EXT = RegsExt()
_NO_DEVICE = Device()


def request_permissions(request: BidRequest, vendor: Vendor) -> Permissions:
    """Judge a bid request.

    Most say nothing, or that nothing applies: that costs some attribute tests and no more.
    """
    regs, device, user = request.regs, request.device, request.user
    if (
        (regs is None or _is_quiet(regs))
        and (device is None or not (device.lmt or device.dnt))
        and (user is None or not (user.consent or (user.ext is not None and user.ext.consent)))
    ):
        return ALL_PERMITTED
    return permissions(request_signals(request), vendor)


def request_signals(request: BidRequest) -> Signals:
    """Return what a bid request says about privacy, at its homes; where these differ, the stricter."""
    regs = request.regs or _NO_REGS
    ext = regs.ext or _NO_REGS_EXT
    device = request.device or _NO_DEVICE
    user = request.user
    tc_string = (
        "" if user is None else _one_of(user.consent, user.ext.consent if user.ext is not None else None)
    )
    sections = (*(regs.gpp_sid or ())[:GPP_SECTIONS_MAX], *(ext.gpp_sid or ())[:GPP_SECTIONS_MAX])
    return Signals(
        gdpr=True if regs.gdpr or ext.gdpr else None if regs.gdpr is ext.gdpr is None else False,
        tc_string=_within(tc_string, TC_STRING_CHARS_MAX),
        gpp=_within(_one_of(regs.gpp, ext.gpp), GPP_STRING_CHARS_MAX),
        gpp_sections=tuple(dict.fromkeys(sections)) or None,
        us_privacy=_stricter_us_privacy(regs.us_privacy, ext.us_privacy),
        global_privacy_control=ext.gpc == 1 or ext.gpc == "1",
        coppa=regs.coppa == 1,
        minor_in_california=ext.s22580 == 1,
        limited_tracking=device.lmt == 1,
        do_not_track=device.dnt == 1,
    )


def _one_of(core: str | None, extension: str | None) -> str:
    """Return what stands at either home of a string, and nothing readable where both have another."""
    if core and extension and core != extension:
        return _UNREADABLE
    return core or extension or ""


def _stricter_us_privacy(core: str | None, extension: str | None) -> str:
    texts = [text[:_US_PRIVACY_CHARS_MAX] for text in (core, extension) if text]
    return next(filter(us_privacy_objection, texts), texts[0] if texts else "")


def _is_quiet(regs: Regs) -> bool:
    """Tell, of the commonest regs, that nothing in them speaks against anything."""
    ext = regs.ext
    return (
        not (regs.gdpr or regs.coppa or regs.gpp or regs.gpp_sid)
        and regs.us_privacy in _US_PRIVACY_QUIET
        and (
            ext is None
            or (
                not (ext.gdpr or ext.gpp or ext.gpp_sid or ext.gpc or ext.s22580)
                and ext.us_privacy in _US_PRIVACY_QUIET
            )
        )
    )


def sync_permissions(query: Mapping[str, str], headers: Mapping[str, str], vendor: Vendor) -> Permissions:
    """Judge a call that a browser makes: a cookie sync, a page's pixel.

    The parameters are gdpr, gdpr_consent, us_privacy, gpp and gpp_sid (OpenRTB 2.6, appendix C), the headers
    `Sec-GPC` and `DNT`. A `gdpr` or `gpp_sid` that is no number, such as an unreplaced macro, is
    taken as if it applied.
    """
    gdpr = query.get("gdpr", "").strip()
    return permissions(
        Signals(
            gdpr=None if gdpr == "" else gdpr != "0",
            tc_string=_within(query.get("gdpr_consent", ""), TC_STRING_CHARS_MAX),
            gpp=_within(query.get("gpp", ""), GPP_STRING_CHARS_MAX),
            gpp_sections=_section_list(query.get("gpp_sid", "")),
            us_privacy=query.get("us_privacy", "")[:_US_PRIVACY_CHARS_MAX],
            global_privacy_control=headers.get("Sec-GPC", "").strip() == "1",
            do_not_track=headers.get("DNT", "").strip() == "1",
        ),
        vendor,
    )


@lru_cache(maxsize=CONSENT_ANSWERS_CACHED_MAX)
def permissions(signals: Signals, vendor: Vendor) -> Permissions:
    """Return what the signals permit this vendor; the same for the same arguments, and remembered."""
    return permissions_after(_refusals(signals, vendor))


def _within(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else _UNREADABLE


def _section_list(text: str) -> tuple[int, ...] | None:
    sections = [part for part in re.split(r"[,_\s]+", text[:1_024]) if part]
    if not sections:
        return None
    return tuple(
        int(part) if re.fullmatch(r"-?[0-9]{1,4}", part, re.ASCII) else _UNKNOWN_SECTION
        for part in sections[:GPP_SECTIONS_MAX]
    )


def _refusals(signals: Signals, vendor: Vendor) -> Iterator[Refusal]:
    if signals.coppa:
        yield Refusal(ALL_USES, Cause.COPPA)
    if signals.minor_in_california:
        yield Refusal(ALL_USES, Cause.MINOR_IN_CALIFORNIA)
    if signals.limited_tracking:
        yield Refusal(ID_USES, Cause.LIMITED_TRACKING)
    if signals.do_not_track:
        yield Refusal(ID_USES, Cause.DO_NOT_TRACK)
    if signals.global_privacy_control:
        yield Refusal(ID_USES, Cause.GLOBAL_PRIVACY_CONTROL)
    if signals.us_privacy:
        cause = us_privacy_objection(signals.us_privacy)
        if cause is not None:
            yield Refusal(ID_USES, cause)
    sections = [id_ for id_ in dict.fromkeys(signals.gpp_sections or ()) if id_ not in _NO_SECTIONS]
    gpp: GppString | None = None
    if signals.gpp and signals.gpp_sections is None:
        yield Refusal(ID_USES, Cause.GPP_UNADDRESSED)
    elif signals.gpp and sections:
        try:
            gpp = GppString(signals.gpp)
        except Unreadable:
            yield Refusal(ID_USES, Cause.GPP_UNREADABLE)
    for section_id in sections:
        if section_id != EUROPE_SECTION:
            yield from _section_refusals(section_id, gpp, signals, vendor)
    yield from _gdpr_refusals(signals, gpp if EUROPE_SECTION in sections else None, sections, vendor)


def _section_refusals(
    section_id: int, gpp: GppString | None, signals: Signals, vendor: Vendor
) -> Iterator[Refusal]:
    text = _section(gpp, section_id)
    if text is None:
        if section_id == US_PRIVACY_SECTION and signals.us_privacy:
            # It stands where it always stood, and has been judged.
            return
        yield Refusal(ID_USES, Cause.GPP_SECTION_MISSING, section_id)
    elif section_id == CANADA_SECTION:
        yield from _tcf_refusals(text, section_id, vendor)
    elif section_id != US_PRIVACY_SECTION and section_id not in US_SECTIONS:
        yield Refusal(ID_USES, Cause.GPP_SECTION_UNKNOWN, section_id)
    else:
        is_old = section_id == US_PRIVACY_SECTION
        cause = us_privacy_objection(text) if is_old else section_objection(section_id, text)
        if cause is not None:
            yield Refusal(ALL_USES if cause is Cause.GPP_CHILD else ID_USES, cause, section_id)


def _section(gpp: GppString | None, section_id: int) -> str | None:
    try:
        return gpp.section(section_id) if gpp is not None else None
    except Unreadable:
        return None


def _gdpr_refusals(
    signals: Signals, gpp: GppString | None, sections: list[int], vendor: Vendor
) -> Iterator[Refusal]:
    asked = signals.gdpr is None and signals.tc_string
    if not (signals.gdpr or asked or EUROPE_SECTION in sections):
        return
    texts = [text for text in (signals.tc_string, _section(gpp, EUROPE_SECTION)) if text]
    if not texts:
        yield Refusal(ALL_USES, Cause.TCF_NO_STRING)
    for text in texts:
        yield from _tcf_refusals(text, 0, vendor)


def _tcf_refusals(text: str, section_id: int, vendor: Vendor) -> Iterator[Refusal]:
    """Judge one string: of TCF Canada when it is GPP's section 5, else of Europe."""
    if vendor.id is None:
        yield Refusal(ALL_USES, Cause.TCF_NO_VENDOR_ID, section_id)
        return
    in_canada = section_id == CANADA_SECTION
    try:
        tc = read_canada(text, vendor.id) if in_canada else read_europe(text, vendor.id)
    except Unreadable:
        yield Refusal(ALL_USES, Cause.TCF_UNREADABLE, section_id)
        return
    if tc.disclosed is None and tc.updated_s >= DISCLOSURE_REQUIRED_FROM_S and not in_canada:
        yield Refusal(ALL_USES, Cause.TCF_NO_DISCLOSURE, section_id)
    elif tc.disclosed is False:
        yield Refusal(ALL_USES, Cause.TCF_NOT_DISCLOSED, section_id)
    elif not (tc.vendor_consent or tc.vendor_legitimate):
        yield Refusal(ALL_USES, Cause.TCF_NO_VENDOR_CONSENT, section_id)
    for purpose, uses in _PURPOSES_IN_CANADA if in_canada else _PURPOSES:
        cause = _lacks_basis(tc, purpose, vendor)
        if cause is not None:
            yield Refusal(uses, cause, section_id, purpose)
    if not tc.special_features >> (SPECIAL_FEATURES - PRECISE_LOCATION_FEATURE) & 1:
        yield Refusal(Use.PRECISE_GEO, Cause.TCF_NO_SPECIAL_FEATURE, section_id, PRECISE_LOCATION_FEATURE)


_PURPOSES = (
    (1, ID_USES),
    (2, Use.IDENTIFY | Use.PROFILE),
    (3, Use.PROFILE),
    (4, Use.PROFILE),
)
"""The purposes we ask for, and the uses that each is needed for."""
_PURPOSES_IN_CANADA = ((2, ID_USES), (3, Use.PROFILE), (4, Use.PROFILE))


def _lacks_basis(tc: TcString, purpose: int, vendor: Vendor) -> Cause | None:
    bit = purpose_bit(purpose)
    legitimate = purpose in vendor.legitimate_interests
    demanded_other = (tc.require_consent if legitimate else tc.require_legitimate) & bit
    if tc.not_allowed & bit or (demanded_other and purpose not in vendor.flexible_purposes):
        return Cause.TCF_PUBLISHER
    if legitimate is not bool(demanded_other):
        held = tc.vendor_legitimate and tc.purposes_legitimate & bit
        return None if held else Cause.TCF_NO_LEGITIMATE_INTEREST
    return None if tc.vendor_consent and tc.purposes_consent & bit else Cause.TCF_NO_CONSENT
