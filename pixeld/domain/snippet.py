"""The order pixel as a client pastes it into the page that thanks for an order, and what the shop puts into it. Pure."""

from __future__ import annotations

from html import escape

from pixeld.domain.landing import with_parameter


def pixel_url(tracker_url: str, client: str, *, test: bool = False) -> str:
    """The pixel's address, with a word in capitals where the shop's own value belongs."""
    tail = "&test=1" if test else ""
    return f"{tracker_url}/t/{client}/o.gif?order=ORDER&amount=AMOUNT&currency=CURRENCY&click=CLICK{tail}"


def pixel_html(url: str) -> str:
    """The image to paste."""
    return f'<img src="{escape(url)}" width="1" height="1" alt="">'


def values(currency: str, landing_url: str, click_param: str) -> list[tuple[str, str]]:
    """The words of the address, and what the shop puts in for each, URL-encoded."""
    arrival = with_parameter(landing_url, click_param, "<click id>")
    return [
        ("ORDER", "The order's number. Loading the page again does not count it again."),
        ("AMOUNT", "What commission is paid on, like 49.90: digits and a point, no thousands separator, no symbol."),
        ("CURRENCY", f"Its ISO 4217 code; left empty it is {currency}."),
        (
            "CLICK",
            f"The click id. A visitor whom a partner sent arrives at {arrival} : keep that value with the visitor's session, "
            "and put it in here when they order; leave it empty if there is none. Without it the referral cookie decides, "
            "which many browsers do not send to other sites.",
        ),
    ]
