"""When a person's id may be used at all.

Without permission no id is read: the request is decided on its context alone, and nothing about
the person is looked up, counted or put in a token. Signals are read at their 2.6 and 2.5 homes
(reference: OpenRTB 2.6, 3.2.3; the IAB's US Privacy String; Global Privacy Control).

Consent strings are not decoded: where GDPR or a GPP section applies, or a GPP string comes without
saying which does, the answer is no.
"""

from bidder.openrtb.wire import Device, Regs, RegsExt

GPP_NOT_APPLICABLE = -1

_NO_EXT = RegsExt()
_NO_DEVICE = Device()


def may_identify(regs: Regs | None, device: Device | None) -> bool:
    """Tell whether the person behind a request may be recognised."""
    device = device or _NO_DEVICE
    if device.lmt == 1 or device.dnt == 1:
        return False
    if regs is None:
        return True
    ext = regs.ext or _NO_EXT
    if regs.coppa == 1 or regs.gdpr == 1 or ext.gdpr == 1:
        return False
    sections = regs.gpp_sid or ext.gpp_sid
    if sections is None and (regs.gpp or ext.gpp):
        return False
    if sections and any(section != GPP_NOT_APPLICABLE for section in sections):
        return False
    us_privacy = regs.us_privacy or ext.us_privacy or ""
    return us_privacy[2:3] not in ("Y", "y") and str(ext.gpc) != "1"
