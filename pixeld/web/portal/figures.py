"""Reports as pages show them: figures of a period, days without gaps for charts, columns with names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from pixeld.domain.commission import Terms
from pixeld.domain.money import to_text
from pixeld.errors import BadInput

Row = Mapping[str, Any]
#: What a report can be broken down by, as a reader says it.
DIMENSIONS = {
    "day": "Day",
    "month": "Month",
    "hour": "Hour",
    "client": "Shop",
    "partner": "Partner",
    "s1": "Sub-id 1",
    "s2": "Sub-id 2",
    "s3": "Sub-id 3",
    "s4": "Sub-id 4",
    "s5": "Sub-id 5",
    "creative": "Creative",
    "country": "Country",
    "device": "Device",
    "browser": "Browser",
    "os": "System",
    "language": "Language",
    "quality": "Quality",
}
IN_TIME = ("hour", "day", "month")
#: The periods that orders are listed for: (days, name).
PERIODS = (("7", "Last 7 days"), ("30", "Last 30 days"), ("90", "Last 90 days"), ("365", "Last 365 days"))


class Column(NamedTuple):
    """A column of figures: its key in a report's row, its name, and whether it is `money` or a `count`."""

    key: str
    name: str
    kind: str


COLUMNS = (
    Column("impressions", "Impressions", "count"),
    Column("clicks", "Clicks", "count"),
    Column("unique_clicks", "Visitors", "count"),
    Column("orders", "Orders", "count"),
    Column("revenue", "Revenue", "money"),
    Column("commission_pending", "Pending", "money"),
    Column("commission_approved", "Approved", "money"),
    Column("commission_rejected", "Rejected", "money"),
    Column("commission", "Commission", "money"),
)


class Day(NamedTuple):
    """A day's figures; `money` is by currency, in the order of the currencies of the whole period."""

    day: str
    clicks: int
    orders: int
    money: tuple[str, ...]


def days(
    rows: Iterable[Row], currencies: Sequence[str], first: date, last: date, money: str = "commission"
) -> list[Day]:
    """One entry for each day of the period, oldest first, from a report by day; also for days on which nothing happened.
    `money` is the column that the days' amounts are of.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["day"], []).append(row)
    shown = []
    for n in range((last - first).days + 1):
        day = (first + timedelta(days=n)).isoformat()
        of_day = found.get(day, [])
        found_money = {row["currency"]: row[money] for row in of_day}
        amounts = tuple(found_money.get(currency) or to_text(0, currency) for currency in currencies)
        shown.append(Day(day, total(of_day, "clicks"), total(of_day, "orders"), amounts))
    return shown


def period(days: str, today: date) -> dict[str, str]:
    """One of PERIODS, up to today, as a report is asked for it. BadInput (days)."""
    if days not in dict(PERIODS):
        raise BadInput("Choose one of the periods.", "days")
    return {"from": str(today - timedelta(days=int(days) - 1)), "to": str(today)}


def total(rows: Iterable[Row], key: str) -> int:
    """A count over the rows of all currencies."""
    return sum(row[key] for row in rows)


def any_money(rows: Iterable[Row], key: str) -> bool:
    """Whether an amount of a column isn't zero."""
    return any(Decimal(row[key]) for row in rows)


def terms_text(terms: Terms | None, currency: str) -> str:
    """What an order earns, in words: 8 % of the order, 8 % + 2.50 EUR, 2.50 EUR an order."""
    if terms is None:
        return "No commission at present"
    percent = f"{_trimmed(terms.percent)}\u00a0%" if terms.millionths else ""
    flat = f"{terms.flat}\u00a0{currency}" if Decimal(terms.flat) else ""
    if percent and flat:
        return f"{percent} of an order + {flat}"
    return f"{percent} of an order" if percent else f"{flat} an order" if flat else "No commission at present"


def _trimmed(decimal: str) -> str:
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
