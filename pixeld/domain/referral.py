"""Referral and landing cookie: the click ids of one browser's recent clicks, newest first.

A click sets the referral cookie, for one client's path. The landing beacon sets the landing cookie, which browsers keep for
the one site that shows the beacon. Each click id is signed by itself, so that a cookie needs no signature of its own and a
click costs one hash, not nine.
"""

from __future__ import annotations

import re

from pixeld.domain.tokens import SYNTAX, claimed_at

MAX_CLICKS = 8  # 8 × 64 characters + dots = 519 bytes, far below the 4,096 that browsers keep
_COOKIE = re.compile(rf"{SYNTAX}(?:\.{SYNTAX}){{0,{MAX_CLICKS - 1}}}", re.ASCII)


def read(header: str, name: str) -> list[str]:
    """The click ids under cookie `name` in a `Cookie` header: well-formed, not yet verified; [] for none or for anything else.

    The first cookie of that name counts (RFC 6265 §5.4: the longest path first, and pixeld sets one path only).
    """
    if name not in header:
        return []
    key, _, value = header.partition("=")
    if key == name and _COOKIE.fullmatch(value):
        return value.split(".")  # alone, as mostly: pixeld has a host, and a path for each client, to itself
    for pair in header.split(";"):
        key, _, value = pair.partition("=")
        if key.strip(" \t") == name:
            value = value.strip(" \t")
            return value.split(".") if _COOKIE.fullmatch(value) else []
    return []


def held(header: str, name: str) -> bool:
    """Whether a `Cookie` header has a cookie of that name, whatever its value."""
    return name in header and any(pair.partition("=")[0].strip(" \t") == name for pair in header.split(";"))


def write(click_id: str, earlier: list[str], since_s: int = 0) -> str:
    """The cookie's value after a click: at most MAX_CLICKS click ids, newest first, and none of before `since_s`, however
    often its visitor comes back.
    """
    return ".".join((click_id, *since(earlier[: MAX_CLICKS - 1], since_s)))


def since(click_ids: list[str], since_s: int) -> list[str]:
    """Those of click ids, newest first, that say that they are no older than that."""
    end = len(click_ids)
    while end and claimed_at(click_ids[end - 1]) < since_s:  # from the oldest: mostly one look
        end -= 1
    return click_ids[:end]


def merged(*several: list[str]) -> list[str]:
    """The click ids of several cookies as one: each once, the newest first.

    By the time that they claim: one that lies about it doesn't verify, so that the first that does is the newest that does.
    """
    return sorted(dict.fromkeys(click_id for each in several for click_id in each), key=claimed_at, reverse=True)
