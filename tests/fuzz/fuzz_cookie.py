"""The referral cookie: what was written is read, among whatever else; what is read is well-formed, and stood there."""

import re

from pixeld.domain import referral
from pixeld.domain.tokens import MAX_LENGTH, SYNTAX
from tests.fuzz import text

NAME = "pxref"
CLICK_ID = re.compile(SYNTAX, re.ASCII)
# RFC 6265 §4.2.1 as one expression: the first pair of this name, with optional white space around it and its value.
PAIR = re.compile(rf"(?:^|;)[ \t]*{NAME}[ \t]*(?:=[ \t]*([^;]*?)[ \t]*)?(?=;|\Z)", re.DOTALL)


def click_ids(data):
    """As many click ids as there are bytes."""
    return [f"{n:02x}".rjust(32, "A") + "blog" for n in data]


def reference(header):
    """What there is to read in a header, by that expression."""
    pair = PAIR.search(header)
    found = (pair[1] or "").split(".") if pair else []
    return found if len(found) <= referral.MAX_CLICKS and all(CLICK_ID.fullmatch(each) for each in found) else []


def check(data):
    """A header that is anything, and headers in which a cookie of ours stands among anything."""
    header = text(data)
    newest, *earlier = click_ids(data or b"\0")
    value = referral.write(newest, earlier)
    assert len(value) < (MAX_LENGTH + 1) * referral.MAX_CLICKS
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", value)
    expected = [newest, *earlier][: referral.MAX_CLICKS]
    assert referral.write(expected[0], expected[1:]) == value

    few = text(data[:3])
    for each in (header, f"{header}{NAME}={value}", f"{few}{NAME}={value}", f"{NAME}{few}={value}", f"{NAME}={few}{value}", f"{NAME}={value}{few}"):
        found = referral.read(each, NAME)
        assert found == reference(each)
        assert len(found) <= referral.MAX_CLICKS

    another = header.replace("x", "")  # so that no part of it can be, or become, the name
    for before, after in (("", ""), ("a=b; ", "; a=b"), (" \t", "\t ;"), (";;=;", ";;"), (another + ";", ""), (another + ";", ";" + header)):
        assert referral.read(f"{before}{NAME}={value}{after}", NAME) == expected
