"""What may be done with a person's data, and why the rest may not: an answer that can be explained.

`bidder.openrtb.privacy` makes Permissions; an Opportunity carries one, and `hustings explain` puts its
refusals into sentences.
"""

from collections.abc import Iterable
from enum import IntEnum, IntFlag

import msgspec


class Use(IntFlag):
    """What there is to permit."""

    IDENTIFY = 1
    """Read the person's ids, count their impressions, put their hash in a notice token."""
    PROFILE = 2
    """Let the segments that the person is in decide which ads they see."""
    PRECISE_GEO = 4
    """Use a location finer than a region or metro: the ZIP."""
    SYNC = 8
    """Set our cookie, and learn or tell ids of the person."""


ALL_USES = Use.IDENTIFY | Use.PROFILE | Use.PRECISE_GEO | Use.SYNC
ID_USES = Use.IDENTIFY | Use.PROFILE | Use.SYNC


class Cause(IntEnum):
    """Why something is refused."""

    COPPA = 1
    MINOR_IN_CALIFORNIA = 2
    LIMITED_TRACKING = 3
    DO_NOT_TRACK = 4
    GLOBAL_PRIVACY_CONTROL = 5
    US_PRIVACY_SALE = 6
    US_PRIVACY_UNREADABLE = 7

    GPP_UNADDRESSED = 8
    GPP_UNREADABLE = 9
    GPP_SECTION_MISSING = 10
    GPP_SECTION_UNKNOWN = 11
    GPP_SECTION_UNREADABLE = 12
    GPP_SALE = 13
    GPP_SHARING = 14
    GPP_TARGETED_ADVERTISING = 15
    GPP_NO_NOTICE = 16
    GPP_CHILD = 17
    GPP_GLOBAL_PRIVACY_CONTROL = 18

    TCF_NO_VENDOR_ID = 19
    TCF_NO_STRING = 20
    TCF_UNREADABLE = 21
    TCF_NO_DISCLOSURE = 22
    TCF_NOT_DISCLOSED = 23
    TCF_PUBLISHER = 24
    TCF_NO_VENDOR_CONSENT = 25
    TCF_NO_CONSENT = 26
    TCF_NO_LEGITIMATE_INTEREST = 27
    TCF_NO_SPECIAL_FEATURE = 28


_SENTENCES = {
    Cause.COPPA: "coppa: the person is taken for a child (regs.coppa)",
    Cause.MINOR_IN_CALIFORNIA: "minors: the person is a minor in California (regs.ext.s22580)",
    Cause.LIMITED_TRACKING: "lmt: the device limits tracking (device.lmt)",
    Cause.DO_NOT_TRACK: "dnt: the browser asks not to be tracked (device.dnt, DNT)",
    Cause.GLOBAL_PRIVACY_CONTROL: "gpc: the browser sends Global Privacy Control (regs.ext.gpc, Sec-GPC)",
    Cause.US_PRIVACY_SALE: "us_privacy: the person opted out of sale",
    Cause.US_PRIVACY_UNREADABLE: "us_privacy: the string can't be read",
    Cause.GPP_UNADDRESSED: "gpp: a string came without gpp_sid, so nobody knows which section applies",
    Cause.GPP_UNREADABLE: "gpp: the string can't be read",
    Cause.GPP_SECTION_MISSING: "gpp: section {section} applies and is not in the string",
    Cause.GPP_SECTION_UNKNOWN: "gpp: section {section} applies and has no reader here",
    Cause.GPP_SECTION_UNREADABLE: "gpp: section {section} can't be read",
    Cause.GPP_SALE: "gpp: the person opted out of sale (section {section})",
    Cause.GPP_SHARING: "gpp: the person opted out of sharing (section {section})",
    Cause.GPP_TARGETED_ADVERTISING: "gpp: the person opted out of targeted advertising (section {section})",
    Cause.GPP_NO_NOTICE: "gpp: the person was given no notice of the right to opt out (section {section})",
    Cause.GPP_CHILD: "gpp: no consent for a known child (section {section})",
    Cause.GPP_GLOBAL_PRIVACY_CONTROL: "gpp: Global Privacy Control is on (section {section})",
    Cause.TCF_NO_VENDOR_ID: "{law}: this installation has no gvl_vendor_id, so nobody can have consented",
    Cause.TCF_NO_STRING: "{law}: there is no consent string",
    Cause.TCF_UNREADABLE: "{law}: the consent string can't be read, or is not of version 2",
    Cause.TCF_NO_DISCLOSURE: "{law}: the consent string is too new to lack its disclosed vendors (TCF 2.3)",
    Cause.TCF_NOT_DISCLOSED: "{law}: vendor {vendor} was not disclosed to the person",
    Cause.TCF_PUBLISHER: "{law}: the publisher allows vendor {vendor} no purpose {number}",
    Cause.TCF_NO_VENDOR_CONSENT: "{law}: vendor {vendor} has no consent",
    Cause.TCF_NO_CONSENT: "{law}: vendor {vendor} has no consent for purpose {number}",
    Cause.TCF_NO_LEGITIMATE_INTEREST: (
        "{law}: vendor {vendor} has no legitimate interest for purpose {number}, or the person objected"
    ),
    Cause.TCF_NO_SPECIAL_FEATURE: "{law}: no opt-in to special feature {number}, precise location",
}

_CONSEQUENCES = {
    Use.IDENTIFY: "no id is read",
    Use.PROFILE: "segments are not used",
    Use.PRECISE_GEO: "the ZIP is not used",
    Use.SYNC: "no ids are synced",
}


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """One thing that speaks against some uses.

    `section` is the GPP section that says so, 0 elsewhere; `number` a purpose or special feature.
    """

    uses: int
    cause: Cause
    section: int = 0
    number: int = 0


class Permissions(msgspec.Struct, frozen=True, gc=False):
    """Which uses are permitted, with the first refusal of each of the others."""

    identify: bool = True
    profile: bool = True
    precise_geo: bool = True
    sync: bool = True
    refusals: tuple[Refusal, ...] = ()


ALL_PERMITTED = Permissions()


def permissions_after(refusals: Iterable[Refusal]) -> Permissions:
    """Return what is left; of each refusal only the uses that none before it refused."""
    left = int(ALL_USES)
    kept = []
    for refusal in refusals:
        taken = refusal.uses & left
        if taken:
            left &= ~taken
            kept.append(msgspec.structs.replace(refusal, uses=taken))
        if not left:
            # What else speaks against need not even be looked at.
            break
    if not kept:
        return ALL_PERMITTED
    return Permissions(
        identify=bool(left & Use.IDENTIFY),
        profile=bool(left & Use.PROFILE),
        precise_geo=bool(left & Use.PRECISE_GEO),
        sync=bool(left & Use.SYNC),
        refusals=tuple(kept),
    )


def sentences(permissions: Permissions, vendor_id: int | None, about: int = ALL_USES) -> list[str]:
    """Say what is refused and why, one sentence for each cause: `about` these uses only."""
    return [
        f"{', '.join(text for use, text in _CONSEQUENCES.items() if refusal.uses & about & use)}: "
        + _SENTENCES[refusal.cause].format(
            law="gpp section 5 (Canada)" if refusal.section == 5 else "gdpr",
            section=refusal.section,
            number=refusal.number,
            vendor=vendor_id,
        )
        for refusal in permissions.refusals
        if refusal.uses & about
    ]
