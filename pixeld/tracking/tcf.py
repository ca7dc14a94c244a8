"""IAB Europe's Transparency and Consent strings, version 2: whether the visitor consents to what pixeld does.

The layout is the "TC string core" of the IAB Tech Lab's GDPR-Transparency-and-Consent-Framework repository.
"""

from __future__ import annotations

from pixeld.domain.consent import Say
from pixeld.tracking.bits import Bits

# Where fields of the core begin, in bits.
_PURPOSE_CONSENTS, _MAX_VENDOR, _VENDORS = 152, 213, 230
_STORE, _MEASURE = 1, 7  # purposes: store and/or access information on a device; measure advertising performance


def says(text: str, vendor: int) -> Say:
    """YES when the visitor consents to purposes 1 and 7, and to `vendor` (0: none was given to us, and none is asked about).

    ValueError when that can't be read. The core comes first, whatever further segments say more about.
    """
    bits = Bits(text.partition(".")[0])
    if bits.take(6) != 2:
        raise ValueError("another version")
    bits.at = _PURPOSE_CONSENTS
    purposes = bits.take(24)
    bits.at = _MAX_VENDOR
    most, by_range = bits.take(16), bits.take(1)  # read though nobody may ask: a string that ends before is cut off
    if not all(purposes >> 24 - purpose & 1 for purpose in (_STORE, _MEASURE)):
        return Say.NO
    if not vendor:
        return Say.YES
    consents = _in_ranges(bits, vendor) if by_range else _in_field(bits, vendor, most)
    return Say.YES if consents else Say.NO


def _in_field(bits: Bits, vendor: int, most: int) -> bool:
    if vendor > most:
        return False
    bits.at = _VENDORS + vendor - 1
    return bool(bits.take(1))


def _in_ranges(bits: Bits, vendor: int) -> bool:
    for _ in range(bits.take(12)):
        is_range, first = bits.take(1), bits.take(16)
        last = bits.take(16) if is_range else first
        if first <= vendor <= last:
            return True
    return False
