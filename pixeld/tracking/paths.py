"""What the addresses below `/t/` name."""

from __future__ import annotations

import re

from pixeld.domain.events import CLICK, IMPRESSION, ORDER, Kind
from pixeld.domain.tokens import ID
from pixeld.tracking.query import url_text

PREFIX = "/t/"
#: Pages about one client. They lie below PREFIX because its referral cookie is sent nowhere else, and are no tracking.
PAGE = rf"{PREFIX}{ID}/(?:my-data|opt-out)"
LANDING = Kind("landing", "", "", ())  # the landing beacon is answered as a kind of event is, but stores none
_PATH = re.compile(rf"{PREFIX}({ID})/(?:c/({ID})|i/({ID})\.gif|(l|o)\.gif)", re.ASCII)
_PAGE = re.compile(PAGE, re.ASCII)


def tracks(path: str) -> bool:
    """Whether a path, as it was sent, is the tracker's to answer."""
    return path.startswith(PREFIX) and not is_page(path)


def is_page(path: str) -> bool:
    """Whether a path is a page's, in whatever way it is written. A `%2F` is no slash, as to the pages' own router."""
    return path.count("/") == 3 and _PAGE.fullmatch(url_text(path)) is not None


def named(path: str) -> tuple[Kind, str, str] | None:
    """Kind, client and partner (`""` for an order or a landing beacon), whether those are there or not; None for nothing."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    client, clicked, shown, pixel = match.groups("")
    if pixel:
        return ORDER if pixel == "o" else LANDING, client, ""
    return (CLICK, client, clicked) if clicked else (IMPRESSION, client, shown)
