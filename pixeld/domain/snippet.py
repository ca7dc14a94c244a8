"""The images that a client pastes into its pages, the landing beacon and the order pixel, and what the shop puts in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pixeld.domain import affinity
from pixeld.domain.landing import around

CONSENT = (
    "Where you ask visitors for consent, put the answer at the end of each address: &consent=1 for yes, &consent=0 for no, or "
    "what your consent banner gives: gdpr and gdpr_consent, gpp and gpp_sid, or us_privacy."
)


def categories(names: Sequence[str]) -> str:
    """How an order tells what kind of thing was bought."""
    return (
        "Where a visitor has agreed, an order may say what kinds of things were bought: put &cat= and up to "
        f"{affinity.MAX_CHOSEN} of these at the end of its address, with commas between them: {', '.join(names)}."
    )


def pixel_url(tracker_url: str, client: str, *, test: bool = False) -> str:
    """The order pixel's address, with a word in capitals where the shop's own value belongs."""
    tail = "&test=1" if test else ""
    return f"{tracker_url}/t/{client}/o.gif?order=ORDER&amount=AMOUNT&currency=CURRENCY&click=CLICK{tail}"


def beacon_url(tracker_url: str, client: str) -> str:
    """The landing beacon's address, likewise."""
    return f"{tracker_url}/t/{client}/l.gif?click=CLICK"


def image(url: str) -> str:
    """The HTML to paste."""
    return f'<img src="{escape(url)}" width="1" height="1" alt="">'


def values(currency: str, landing_url: str, click_param: str, *, stateless: bool) -> list[tuple[str, str]]:
    """The words of the addresses, and what the shop puts in for each, URL-encoded."""
    arrival = "<click id>".join(around(landing_url, click_param))
    without = (
        "Without it no partner is credited: your programme works without cookies."
        if stateless
        else "Without it the cookies of landing beacon and link decide, which not every browser sends."
    )
    return [
        ("ORDER", "The order's number. Loading the page again does not count it again."),
        ("AMOUNT", "What commission is paid on, like 49.90: digits and a point, no thousands separator, no symbol."),
        ("CURRENCY", f"Its ISO 4217 code; left empty it is {currency}."),
        (
            "CLICK",
            f"The click id. A visitor whom a partner sent arrives at {arrival} : keep that value with the visitor's session, "
            "best in a cookie of your own that your server sets, and put it in here when they order; leave it empty if there "
            f"is none. {without}",
        ),
    ]
