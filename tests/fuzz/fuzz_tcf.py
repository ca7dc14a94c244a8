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
    most = int(bits[213:229], 2)
    if bits[229] == "0":
        if vendor > most:
            return Say.NO
        place = 230 + vendor - 1
        return None if place >= len(bits) else Say.YES if bits[place] == "1" else Say.NO
    if len(bits) < 242:
        return None
    at = 242
    for _ in range(int(bits[230:242], 2)):
        size = 33 if bits[at : at + 1] == "1" else 17
        if at + size > len(bits):
            return None
        first, last = int(bits[at + 1 : at + 17], 2), int(bits[at + size - 16 : at + size], 2)
        if first <= vendor <= last:
            return Say.YES
        at += size
    return Say.NO


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
