"""Bits of a base64url text, of which the IAB's consent strings are made. ValueError where a text is not what it should be."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode

MAX_TEXT = 4096  #: characters of a consent string: real ones have a few hundred, the largest some 2,000
_TEXT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Bits:
    """Reads numbers one behind the other, from `at` on."""

    __slots__ = ("_data", "_end", "at")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT or _TEXT.fullmatch(text) is None:
            raise ValueError("no base64url")
        self._data = urlsafe_b64decode(text + "A" * (-len(text) % 4))
        self._end = 6 * len(text)
        self.at = 0

    def take(self, n: int) -> int:
        """The next `n` bits as a number. Only the bytes that hold them are looked at, so that a long text costs no more."""
        begin, end = self.at, self.at + n
        if end > self._end:
            raise ValueError("too short")
        self.at = end
        return int.from_bytes(self._data[begin >> 3 : (end + 7) >> 3]) >> (-end & 7) & (1 << n) - 1

    def fibonacci(self) -> int:
        """The next number in Fibonacci coding: bits for 1, 2, 3, 5, 8, … and a 1 behind the last."""
        total, term, following, before = 0, 1, 2, 0
        while term < 1 << 32:
            bit = self.take(1)
            if bit and before:
                return total
            total += term * bit
            term, following, before = following, term + following, bit
        raise ValueError("no end")
