"""TC strings: read as their bits say, or refused; never anything else, however long they claim to be."""

from base64 import urlsafe_b64encode

from pixeld.domain.consent import Say
from pixeld.tracking import tcf
from tests.consent import tc
from tests.fuzz import text

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
VALUES = {letter: f"{n:06b}" for n, letter in enumerate(ALPHABET)}


def reference(string, vendor):
    """The rules once more, over a text of zeroes and ones: YES, NO, or None for what can't be read."""
    core = string.split(".")[0]
    if not core or not set(core) <= VALUES.keys() or len(core) > 4096:
        return None
    bits = "".join(VALUES[letter] for letter in core)
    if not bits.startswith("000010") or len(bits) < 230:
        return None
    if (bits[152], bits[158]) != ("1", "1"):
        return Say.NO
    if not vendor:
        return Say.YES
    try:
        consents, at = in_set(bits, 213, vendor)
        if not consents:
            return Say.NO
        _, at = in_set(bits, at, vendor)
        count, at = number(bits, at, 12)
        kept_from = set()
        for _ in range(count):
            (purpose, at), (kind, at) = number(bits, at, 6), number(bits, at + 6, 2)
            concerned, at = in_ranges(bits, at, vendor)
            if concerned:
                kept_from.add((purpose, kind))
    except IndexError:
        return None
    return Say.NO if kept_from & {(1, 0), (1, 2), (7, 0), (7, 2)} else Say.YES


def number(bits, at, size):
    """The number that stands there, and where the next one does."""
    if at + size > len(bits):
        raise IndexError(at)
    return int(bits[at : at + size], 2), at + size


def in_set(bits, at, vendor):
    (most, at), (by_range, at) = number(bits, at, 16), number(bits, at + 16, 1)
    if by_range:
        return in_ranges(bits, at, vendor)
    return vendor <= most and bits[at + vendor - 1] == "1", at + most


def in_ranges(bits, at, vendor):
    found = False
    count, at = number(bits, at, 12)
    for _ in range(count):
        is_range, at = number(bits, at, 1)
        first, at = number(bits, at, 16)
        last, at = number(bits, at, 16) if is_range else (first, at)
        found |= vendor in range(first, last + 1)
    return found, at


def compare(string, vendor):
    try:
        found = tcf.says(string, vendor)
    except ValueError:
        found = None
    assert found is reference(string, vendor), (string, vendor)


def check(data):
    """A vendor, and a string that is anything; the same bytes as a string's, and behind the begin of a good one."""
    vendor = int.from_bytes(data[:2]) % 2000
    string = text(data[2:])
    written = urlsafe_b64encode(data[2:]).decode().rstrip("=")
    for each in (string, written, "C" + written[1:], tc((1, 7))[:38] + written, tc((1, 7))[:35] + string):
        compare(each, vendor)
        compare(each, 0)
