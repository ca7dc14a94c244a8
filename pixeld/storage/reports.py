"""The reports, asked of ClickHouse: parameters and dimensions in, `sql/report_*.sql`, shaped answers out.

Each file holds one statement with the scope, `sql/scope.sql`, in every place that reads a table. What is put into it as text
comes from the maps below, never from a request; everything else is a parameter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from pixeld.domain.orders import OrderStatus
from pixeld.domain.report_rows import (
    MAX_ROWS,
    Sales,
    Traffic,
    audience_result,
    order_row,
    performance_result,
    refusals_result,
)
from pixeld.domain.reports import (
    EXACT,
    AudienceQuery,
    Dimension,
    OrdersQuery,
    PerformanceQuery,
    Position,
    RefusalsQuery,
    Scope,
    days_since_1970,
    encode_cursor,
    utc_days,
    whole_hours,
)
from pixeld.storage.warehouse import Warehouse

Clients = Mapping[str, tuple[str, str]]
_CLICK_ONLY = {Dimension.S1, Dimension.S2, Dimension.S3, Dimension.S4, Dimension.S5, Dimension.CREATIVE}
# Numbers of visitors differ between clients, and between days of UTC: what is unique to each adds up.
_ADDITIVE = {Dimension.CLIENT}
_CALENDAR = {Dimension.DAY, Dimension.MONTH}  # where they are UTC's
# Numbers, because they are cheap to group by and the same in every engine; `domain.report_rows.label` makes them readable.
_EXPRESSIONS = {dimension: dimension.value for dimension in Dimension} | {
    Dimension.HOUR: "toUInt32(toStartOfHour(at, {tz:String}))",
    Dimension.DAY: "toUInt16(toDate(at, {tz:String}))",
    Dimension.MONTH: "toYYYYMM(at, {tz:String})",
}
_STATUSES = "'Enum8({})'".format(", ".join(rf"\'{status}\' = {number}" for number, status in enumerate(OrderStatus)))
# Two branches ask for the same keys. As one value they are found once: 1 million observations take 80 ms of CPU less, of 435.
_ONCE = "(SELECT arrayJoin((SELECT groupArray(order_key) FROM {{repeated keys}})))"
_WINDOW_S = 401 * 86_400  # a membership's window is at most 400 days; a click cannot have earned a later order


class Reports:
    """`domain.ports.Reports` over a warehouse. `clock()`, milliseconds since 1970, tells which orders are locked."""

    def __init__(self, warehouse: Warehouse, clock: Callable[[], int]) -> None:
        self._warehouse, self._clock = warehouse, clock

    async def performance(self, scope: Scope, query: PerformanceQuery, clients: Clients) -> dict[str, Any]:
        client = query.single_client(scope)
        zone = ZoneInfo(query.tz or clients.get(client, ("", "UTC"))[1])
        from_s, until_s = query.bounds(zone)
        known = {client: clients[client]} if client in clients else clients
        params = _params(scope, query.client, query.partner, from_s, until_s) | {
            "tz": zone.key,
            "now_s": self._clock() // 1000,
            "quality": "" if query.quality == "all" else "human",
            # A first pair that no client has, because a list of none is not a constant to 18.16.
            "clients": ",".join(("-", *known)),
            "currencies": ",".join(("-", *(currency for currency, _ in known.values()))),
            "limit": MAX_ROWS + 1,
        }
        by_click = "report_orders_by_click" if _CLICK_ONLY & set(query.by) else "report_orders"
        sales = [
            Sales(
                _key(row, query.by),
                row["currency"],
                row["order_count"],
                row["revenue_minor"],
                (row["pending_count"], row["approved_count"], row["rejected_count"]),
                (row["pending_minor"], row["approved_minor"], row["rejected_minor"]),
            )
            for row in await self._run(by_click, query.by, params)
        ]
        rolled_up = whole_hours(zone, from_s, until_s) and (await self._warehouse.known()).roll_ups
        whole_days = utc_days(zone, from_s, until_s)
        traffic = await self._traffic(scope, query, query.by, rolled_up, whole_days, params)
        if set(query.by) <= (_ADDITIVE | _CALENDAR if whole_days else _ADDITIVE):
            totals = traffic
        else:  # by days of UTC, which add up
            totals = await self._traffic(scope, query, (Dimension.DAY,), rolled_up, whole_days, params | {"tz": "UTC"})
        totals = [row._replace(key=()) for row in totals]
        # 20,000 rows take 0.3 s, in which no visitor is to wait.
        return await asyncio.to_thread(performance_result, query.by, zone, traffic, totals, sales)

    async def _traffic(
        self,
        scope: Scope,
        query: PerformanceQuery,
        by: tuple[Dimension, ...],
        rolled_up: bool,
        whole_days: bool,
        params: dict[str, str | int],
    ) -> list[Traffic]:
        report, grain = _source(scope, query, by, rolled_up, whole_days)
        return [
            Traffic(_key(row, by), row["currency"], row["impression_count"], row["click_count"], row["visitor_count"])
            for row in await self._run(report, by, params | {"grain": grain})
        ]

    async def refusals(self, scope: Scope, query: RefusalsQuery, clients: Clients) -> dict[str, Any]:
        zone = ZoneInfo(query.tz or clients.get(query.single_client(scope), ("", "UTC"))[1])
        params = _params(scope, query.client, query.partner, *query.bounds(zone)) | {"tz": zone.key, "limit": MAX_ROWS + 1}
        return refusals_result(await self._run("report_refusals", (), params), zone)

    async def orders(self, scope: Scope, query: OrdersQuery, clients: Clients | None = None) -> dict[str, Any]:
        zone = ZoneInfo(query.tz or (clients or {}).get(query.single_client(scope), ("", "UTC"))[1])
        after, now_s = query.after or Position(0, "", ""), self._clock() // 1000
        params = _params(scope, query.client, query.partner, *query.bounds(zone)) | {
            "now_s": now_s,
            "status": query.status,
            "after_ms": after.at_ms,
            "after_client": after.client,
            "after_order": after.order,
            "limit": query.limit + 1,  # one more tells whether there is a next page
        }
        rows = await self._run("report_order_list", (), params)
        page = rows[: query.limit]
        decisions = await self._decisions(params, page)
        last = page[-1] if len(rows) > query.limit else None
        return {
            "rows": [order_row(row, decisions.get((row["client"], row["order_id"]), {}), now_s, scope) for row in page],
            "next": encode_cursor(Position(last["at_ms"], last["client"], last["order_id"])) if last else None,
        }

    async def audience(self, scope: Scope, query: AudienceQuery) -> dict[str, Any]:
        params: dict[str, str | int] = {
            "scope": scope.role,
            "scope_id": scope.id,
            "client": query.client,
            "partner": query.partner,
            "first": days_since_1970(query.first),
            "last": days_since_1970(query.last),
        }
        released = await self._warehouse.query(statement("report_audience_days"), params)
        rows = await self._warehouse.query(statement("report_audience"), params | {"trait": query.by.value})
        return audience_result(query.by, released[0]["days"], [(r["value"], r["visitor_count"], r["least"]) for r in rows])

    async def _decisions(
        self, params: dict[str, str | int], page: Sequence[Mapping[str, Any]]
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """What was decided about the orders of `page`, by client and order."""
        if not page:
            return {}
        keys = ",".join(row["order_key"] for row in page)
        found = await self._run("report_order_decisions", (), params | {"keys": keys})
        return {(row["client"], row["order_id"]): row for row in found}

    async def _run(self, report: str, by: tuple[Dimension, ...], params: dict[str, str | int]) -> list[dict[str, Any]]:
        chosen, status = ("decided", "status = {status:String} AND ") if params.get("status") else ("orders", "")
        once = _ONCE if (await self._warehouse.known()).scalars else "{{repeated keys}}"
        parts = {
            "{{select}}": "".join(f"{_EXPRESSIONS[dimension]} AS d{i}, " for i, dimension in enumerate(by)),
            "{{group}}": "".join(f"d{i}, " for i in range(len(by))),
            "{{status}}": status,
            "{{chosen}}": f"{{{{{chosen}}}}}",
            "{{decided}}": statement("decided_orders"),
            "{{statuses}}": _STATUSES,
            "{{orders}}": statement("standing_orders"),
            "{{repeated}}": once,
            "{{repeated keys}}": statement("repeated_orders"),
        }
        sql = statement(report)
        for placeholder, text in parts.items():  # in this order: a text may hold one that comes later
            sql = sql.replace(placeholder, text)
        return await self._warehouse.query(sql, params)


def _source(
    scope: Scope, query: PerformanceQuery, by: tuple[Dimension, ...], rolled_up: bool, whole_days: bool
) -> tuple[str, str]:
    """(report, grain): the fewest rows that know what is asked."""
    asked = set(by)
    if asked & _CLICK_ONLY or not rolled_up:
        return "report_traffic_raw", ""
    if asked & EXACT:
        return "report_traffic_by_audience", ""
    partners = Dimension.PARTNER in asked or query.partner or scope.role == "partner"
    days = whole_days and Dimension.HOUR not in asked
    return "report_traffic", f"{'partner' if partners else 'client'} {'day' if days else 'hour'}"


def _params(scope: Scope, client: str, partner: str, from_s: int, until_s: int) -> dict[str, str | int]:
    """The parameters that every report has."""
    return {
        "scope": scope.role,
        "scope_id": scope.id,
        "client": client,
        "partner": partner,
        "from_s": from_s,
        "until_s": until_s,
        "clicked_from_s": max(0, from_s - _WINDOW_S),
    }


def _key(row: Mapping[str, Any], by: tuple[Dimension, ...]) -> tuple[int | str, ...]:
    return tuple(row[f"d{i}"] for i in range(len(by)))


@cache
def statement(report: str) -> str:
    """The text of `sql/<report>.sql`, with the scope where it says `{{scope}}`."""
    text = files("pixeld.storage").joinpath("sql", f"{report}.sql").read_text(encoding="utf-8")
    return text.replace("{{scope}}", statement("scope")) if "{{scope}}" in text else text
