"""How a report's answer is shaped from the warehouse's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pixeld.domain.audience import OTHER, Trait
from pixeld.domain.money import to_text
from pixeld.domain.orders import OrderStatus, order_status
from pixeld.domain.reports import Dimension, Scope
from pixeld.errors import BadInput

NOT_FOR_PARTNERS = ("decided_by",)  #: columns of the list of orders
MAX_ROWS = 20_000  #: of one performance report: some 8 MB of JSON; more is an export, not a report
REFUSAL_COLUMNS = ("day", "client", "partner", "what", "verdict", "requests")


class Traffic(NamedTuple):
    """Clicks and impressions of one key. A key holds one value for each dimension: seconds since 1970 for an hour, days
    since 1970 for a day, 202603 for a month, else text. `currency` is the client's; empty when the client isn't known."""

    key: tuple[int | str, ...]
    currency: str
    impressions: int
    clicks: int
    unique_clicks: int


class Sales(NamedTuple):
    """Orders of one key; `currency` is the orders' own. The counts and the commissions (minor units) by status are in the
    order of OrderStatus."""

    key: tuple[int | str, ...]
    currency: str
    orders: int
    revenue_minor: int
    orders_by: tuple[int, int, int]
    commission_by: tuple[int, int, int]


_ORDERS_BY = [f"orders_{status}" for status in OrderStatus]
_COMMISSION_BY = [f"commission_{status}" for status in OrderStatus]
_NUMBERS = 5 + 2 * len(OrderStatus)  # of a row: all of _COUNTS but the currency, and the sum of two commissions
_COUNTS = [
    *("currency", "impressions", "clicks", "unique_clicks", "orders", "revenue", "commission"),
    *_ORDERS_BY,
    *_COMMISSION_BY,
]


def performance_result(
    by: Sequence[Dimension],
    zone: ZoneInfo,
    traffic: Iterable[Traffic],
    traffic_totals: Iterable[Traffic],
    sales: Iterable[Sales],
) -> dict[str, Any]:
    """The performance report: `columns`, `rows` (sorted by the dimensions in the order of `by`), `totals` (a row a currency).

    `traffic_totals` have empty keys and are added up: what is unique to a day and a client, not to a partner or an hour.
    BadInput when there are over MAX_ROWS rows.
    """
    sales = list(sales)
    rows = _joined(traffic, sales)
    if len(rows) > MAX_ROWS:
        raise BadInput(f"the report has over {MAX_ROWS} rows: ask for fewer days or fewer dimensions", "by")
    totals = _joined(traffic_totals, [sale._replace(key=()) for sale in sales])
    return {
        "columns": [*by, *_COUNTS],
        "rows": [
            {d.value: label(d, value, zone) for d, value in zip(by, key, strict=True)} | row
            for key, row in sorted(rows, key=lambda item: (item[0], item[1]["currency"] or ""))
        ],
        "totals": [row for _, row in sorted(totals, key=lambda item: item[1]["currency"] or "")],
    }


def _joined(traffic: Iterable[Traffic], sales: Iterable[Sales]) -> list[tuple[tuple[int | str, ...], dict[str, Any]]]:
    """(key, the row without its dimensions), one for each key and currency."""
    counts: dict[tuple[tuple[int | str, ...], str], list[int]] = {}
    for row in traffic:
        found = counts.setdefault((row.key, row.currency), [0] * _NUMBERS)
        found[0] += row.impressions
        found[1] += row.clicks
        found[2] += row.unique_clicks
    for sale in sales:
        found = counts.setdefault((sale.key, sale.currency), [0] * _NUMBERS)
        for i, number in enumerate((sale.orders, sale.revenue_minor, *sale.orders_by, *sale.commission_by), 3):
            found[i] += number
    return [(key, _counted(currency, *numbers)) for (key, currency), numbers in counts.items()]


def _counted(currency: str, impressions: int, clicks: int, unique: int, orders: int, revenue: int, *by: int) -> dict[str, Any]:
    """A row without its dimensions. Commission is what is owed, or may come to be: without that of rejected orders."""
    orders_by, (pending, approved, rejected) = by[:3], by[3:]
    return {
        "currency": currency or None,
        "impressions": impressions,
        "clicks": clicks,
        "unique_clicks": unique,
        "orders": orders,
        "revenue": to_text(revenue, currency),
        "commission": to_text(pending + approved, currency),
        **dict(zip(_ORDERS_BY, orders_by, strict=True)),
        **{name: to_text(n, currency) for name, n in zip(_COMMISSION_BY, (pending, approved, rejected), strict=True)},
    }


def label(dimension: Dimension, value: int | str, zone: ZoneInfo) -> str | None:
    """How a dimension's value is shown: an hour with its offset, so that the one that a clock change repeats is two."""
    if dimension is Dimension.HOUR:
        return datetime.fromtimestamp(int(value), zone).isoformat()
    if dimension is Dimension.DAY:
        return (date(1970, 1, 1) + timedelta(days=int(value))).isoformat()
    if dimension is Dimension.MONTH:
        return f"{int(value) // 100:04}-{int(value) % 100:02}"
    if dimension is Dimension.PARTNER:
        return str(value) or None
    return str(value)


def refusals_result(rows: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> dict[str, Any]:
    """The report of refusals, from the rows of the warehouse. BadInput when there are over MAX_ROWS of them."""
    if len(rows) > MAX_ROWS:
        raise BadInput(f"the report has over {MAX_ROWS} rows: ask for fewer days, or for one client", "from")
    return {
        "columns": list(REFUSAL_COLUMNS),
        "rows": [
            {
                "day": label(Dimension.DAY, row["d0"], zone),
                "client": row["client_id"],
                "partner": row["partner_id"] or None,
                "what": row["what"],
                "verdict": row["verdict"],
                "requests": row["requests"],
            }
            for row in rows
        ],
    }


def audience_result(by: Trait, days: int, found: Iterable[tuple[str, int, int]]) -> dict[str, Any]:
    """The audience report from (value, visitors, k); hours in their order, other values by how many have them."""

    def place(row: tuple[str, int, int]) -> tuple[bool, int, str]:
        value, visitors, _ = row
        return value == OTHER, int(value) if by is Trait.HOUR and value != OTHER else -visitors, value

    rows = sorted(found, key=place)
    return {
        "columns": [by.value, "visitors"],
        "rows": [{by.value: value, "visitors": visitors} for value, visitors, _ in rows],
        "days": days,
        "k": min((k for _, _, k in rows), default=None),
    }


def order_row(row: Mapping[str, Any], decision: Mapping[str, Any], now_s: int, scope: Scope) -> dict[str, Any]:
    """One row of the list of orders, from the row of the warehouse's view `orders` and what was decided about it (empty for
    nothing). Of a conflict only the flag is told; who decided, to partners not at all.
    """
    currency, decided = row["currency"], decision.get("decision", "")
    shown = {
        "order": row["order_id"],
        "client": row["client"],
        "partner": row["partner"] or None,
        "amount": to_text(row["amount_minor"], currency),
        "currency": currency,
        "commission": to_text(row["commission_minor"], currency),
        "status": order_status(decided, row["locks_at"], now_s),
        "decided_at": _utc(decision["decision_ms"] // 1000) if decided else None,
        "decided_by": decision["decision_by"] if decided else None,
        "reason": decision.get("decision_reason") or None,
        "locks_at": _utc(row["locks_at"]) if row["locks_at"] else None,
        "method": row["method"] or None,
        "click_id": row["click_id"] or None,
        "clicked_at": _utc(row["clicked_at"]) if row["clicked_at"] else None,
        "ordered_at": _utc(row["at_ms"] // 1000),
        "coupon": row["coupon"] or None,
        "customer": row["customer"] or None,
        "flags": ["conflict"] if row["conflict"] else [],
    }
    if scope.role == "partner":
        for name in NOT_FOR_PARTNERS:
            del shown[name]
    return shown


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
