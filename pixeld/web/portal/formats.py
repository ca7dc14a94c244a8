"""How values are written for readers: money, numbers, days, times. All times are UTC and say so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from markupsafe import Markup

_STATES = {
    "applied": ("Waiting for an answer", "waits"),
    "approved": ("Approved", "good"),
    "declined": ("Declined", "bad"),
    "ended": ("Ended", "quiet"),
    "pending": ("Pending", "waits"),
    "rejected": ("Rejected", "bad"),
}


def number(value: int) -> str:
    """1234 is 1,234."""
    return f"{value:,}"


def money(amount: str, currency: str | None) -> Markup:
    """A decimal text as the reports give it, with its currency, if any, which never stands alone on the next line."""
    whole, point, part = amount.partition(".")
    sign, digits = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return Markup("{}{}{}{}{}").format(sign, number(int(digits or 0)), point, part, f"\u00a0{currency}" if currency else "")


def day(text: str) -> Markup:
    """`2026-11-25` is 25 Nov 2026."""
    return Markup('<time datetime="{}">{}</time>').format(text[:10], plain_day(text))


def plain_day(text: str) -> str:
    """The same without markup, for sentences."""
    found = date.fromisoformat(text[:10])
    return f"{found.day} {found:%b %Y}"


def moment(value: str | int) -> Markup:
    """A time as the reports give it, or milliseconds since 1970: 25 Nov 2026, 14:05 UTC."""
    if isinstance(value, str):
        found = datetime.fromisoformat(value).astimezone(UTC)
    else:
        found = datetime.fromtimestamp(value / 1000, UTC)
    shown = f"{found.day} {found:%b %Y, %H:%M UTC}"
    return Markup('<time datetime="{}">{}</time>').format(found.strftime("%Y-%m-%dT%H:%M:%SZ"), shown)


def state(value: str) -> Markup:
    """The state of a membership or an order, as a badge: a word, and a colour that says the same."""
    word, kind = _STATES.get(value, (value.capitalize(), "quiet"))
    return Markup('<span class="badge {}">{}</span>').format(kind, word)


FILTERS: dict[str, Callable[..., Any]] = {"number": number, "money": money, "day": day, "moment": moment, "state": state}
