"""IAB Europe's Transparency and Consent strings, version 2: whether the visitor consents to what pixeld does.

The layout is the "TC string core" of the IAB Tech Lab's GDPR-Transparency-and-Consent-Framework repository.
"""

from __future__ import annotations

from collections.abc import Collection

from pixeld.domain.consent import Say
from pixeld.tracking.bits import Bits

# Where fields of the core begin, in bits.
_PURPOSE_CONSENTS, _MAX_VENDOR = 152, 213
#: Purposes 1 and 7, for a referral: store and/or access information on a device; measure advertising performance.
REFERRAL = (1, 7)
#: And 9, for what many people buy: understand audiences through statistics or combinations of data from different sources.
AUDIENCE = (*REFERRAL, 9)
_NOT_ALLOWED, _BY_INTEREST = 0, 2  # restrictions of a vendor's purpose by the publisher; 1 asks for consent, as is done here


def says(text: str, vendor: int, purposes: Collection[int] = REFERRAL) -> Say:
    """YES when the visitor consents to all `purposes`, and to `vendor` (0: we have none, and none is asked about), and the
    publisher keeps that vendor from none of them.

    ValueError when that can't be read. The core comes first, whatever further segments say more about.
    """
    bits = Bits(text.partition(".")[0])
    if bits.take(6) != 2:
        raise ValueError("another version")
    bits.at = _PURPOSE_CONSENTS
    consents = bits.take(24)
    bits.at = _MAX_VENDOR
    bits.take(17)  # read though nobody may ask: a string that ends before is cut off
    if not all(consents >> 24 - purpose & 1 for purpose in purposes):
        return Say.NO
    if not vendor:
        return Say.YES
    bits.at = _MAX_VENDOR
    if not _among(bits, vendor):
        return Say.NO
    _among(bits, vendor)  # whose legitimate interest nobody objects to; passed over
    return Say.NO if _restricted(bits, vendor, purposes) else Say.YES


def _among(bits: Bits, vendor: int) -> bool:
    """Whether a vendor is in the set that comes next, which is read to its end."""
    most, by_range = bits.take(16), bits.take(1)
    if by_range:
        return _in_ranges(bits, vendor)
    begin = bits.at
    bits.at = begin + vendor - 1
    found = vendor <= most and bool(bits.take(1))
    bits.at = begin + most
    return found


def _restricted(bits: Bits, vendor: int, purposes: Collection[int]) -> bool:
    found = False
    for _ in range(bits.take(12)):
        purpose, kind = bits.take(6), bits.take(2)
        concerned = _in_ranges(bits, vendor)
        found |= concerned and purpose in purposes and kind in (_NOT_ALLOWED, _BY_INTEREST)
    return found


def _in_ranges(bits: Bits, vendor: int) -> bool:
    found = False
    for _ in range(bits.take(12)):
        is_range, first = bits.take(1), bits.take(16)
        last = bits.take(16) if is_range else first
        found |= first <= vendor <= last
    return found
