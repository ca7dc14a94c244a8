"""The IAB's Global Privacy Platform strings: one for all regions, a section for each.

Layouts are those of the IAB Tech Lab's Global-Privacy-Platform repository. Of the US sections only what a referral touches is
read: whether the visitor opted out of sale, of sharing, or of targeted advertising, or sent Global Privacy Control.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pixeld.domain.consent import Say
from pixeld.tracking import tcf
from pixeld.tracking.bits import MAX_TEXT, Bits

_TCF_EU, _US_PRIVACY = 2, 6
# Section → where its opt-outs begin, in bits, and how many there are, two bits each: sale, sharing, targeted advertising.
_NATIONAL, _CALIFORNIA = 7, 8
_OPT_OUTS = {_NATIONAL: (18, 3)} | {
    section: (first, 2)
    for first, sections in (
        (12, (_CALIFORNIA, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23)),  # VA CO CT FL MT OR TX DE NE NH NJ TN MN
        (14, (11, 18)),  # UT IA: with a notice of sensitive data before
        (16, (24, 25, 26, 27)),  # MD IN KY RI: with two fields of the MSPA before
    )
    for section in sections
}
_VERSIONS = {_NATIONAL: (1, 2)}  # of all others there is only one
_NO_GPC = (25, 26, 27)  # what stands behind the core is about sensitive data there
_OPTED_OUT, _INVALID = 1, 3  # of a two-bit field; 0: does not apply, 2: did not opt out
_GPC_SEGMENT = 1
_US_PRIVACY_TEXT = re.compile(r"1[YN-][YN-][YN-]", re.ASCII | re.IGNORECASE)
_SECTION_IDS = re.compile(r"-?\d{1,4}(?:[,_]-?\d{1,4})*", re.ASCII)


def section_ids(text: str) -> frozenset[int]:
    """The sections that `gpp_sid` says apply; none for `-1`. ValueError for anything else than such a list."""
    if len(text) > MAX_TEXT or _SECTION_IDS.fullmatch(text) is None:
        raise ValueError("no list of sections")
    return frozenset(map(int, text.replace("_", ",").split(","))) - {-1}


def says(
    text: str, applicable: Collection[int] | None, vendor: int, purposes: Collection[int] = tcf.REFERRAL
) -> Say:
    """What the applicable sections say together; all that there are when nobody says which (None). NO by any of them is NO.

    A US section only ever objects. ValueError when one is not there, unknown, or can't be read. `vendor` and
    `purposes` as in tcf.says.
    """
    if len(text) > MAX_TEXT:
        raise ValueError("too long")
    header, *bodies = text.split("~")
    sections = dict(zip(_contents(header, len(bodies)), bodies, strict=True))
    said = {_section(section, sections, vendor, purposes) for section in (sections if applicable is None else applicable)}
    return Say.NO if Say.NO in said else Say.YES if Say.YES in said else Say.NOTHING


def us_privacy(text: str) -> Say:
    """What a `us_privacy` string says. ValueError when it isn't one."""
    if _US_PRIVACY_TEXT.fullmatch(text) is None:
        raise ValueError("no us_privacy string")
    return Say.NO if text[2] in "Yy" else Say.NOTHING


def _contents(header: str, expected: int) -> list[int]:
    """The header's section ids, of which there are as many as sections."""
    bits = Bits(header)
    if (bits.take(6), bits.take(6)) != (3, 1):
        raise ValueError("another version")
    found: list[int] = []
    last = 0
    for _ in range(bits.take(12)):
        is_range = bits.take(1)
        first = last = last + bits.fibonacci()
        if is_range:
            last += bits.fibonacci()
        if len(found) + last - first >= expected:
            raise ValueError("more ids than sections")
        found += range(first, last + 1)
    return found


def _section(section: int, sections: dict[int, str], vendor: int, purposes: Collection[int]) -> Say:
    body = sections.get(section)
    if body is None:
        raise ValueError("an applicable section is missing")
    if section == _TCF_EU:
        return tcf.says(body, vendor, purposes)
    if section == _US_PRIVACY:
        return us_privacy(body)
    if section not in _OPT_OUTS:
        raise ValueError("an unknown section")
    core, *segments = body.split(".")
    bits = Bits(core)
    if bits.take(6) not in _VERSIONS.get(section, (1,)):
        raise ValueError("another version")
    bits.at, count = _OPT_OUTS[section]
    opted = [bits.take(2) for _ in range(count)]
    if _INVALID in opted:
        raise ValueError("no such choice")
    objects = _OPTED_OUT in opted or (section not in _NO_GPC and any(_gpc(Bits(segment)) for segment in segments))
    return Say.NO if objects else Say.NOTHING


def _gpc(bits: Bits) -> bool:
    return bits.take(2) == _GPC_SEGMENT and bool(bits.take(1))
