"""What ClickHouse holds about one click, order or partner, and how it is deleted there for good.

Which tables that are is read from their columns, so that a new one is covered from its first day. A mutation's text stays in
the table's folder, and a query's may stand in a server's log: so no statement names a subject, but for a partner's id, under
which clicks and orders stay anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixeld.domain.events import AFFINITY, LABELS, ORDER
from pixeld.domain.subject import Contents, Subject, What
from pixeld.errors import Unavailable, WarehouseAway
from pixeld.storage.warehouse import Warehouse, escaped

_PATIENCE_S = 45.0  # `pixeld privacy erase` waits a minute for its answer
_STEP_S = 0.1
_OLD_PARTS_S = 20.0  # a report that still reads one ends within 30 s, mostly within a tenth
_PAGE = 5_000  # rows, some 2 MB
_DAY_S = 86_400
_NO_PARTITION = "190001"

_TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
_COLUMNS = """
SELECT table, name, type FROM system.columns
WHERE database = currentDatabase() AND default_kind != 'EPHEMERAL' AND NOT startsWith(type, 'AggregateFunction')
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a subject's rows in one table. `held` is the condition to be about it, `erased` to need a change."""

    table: str
    held: str
    erased: str
    change: str  #: what an ALTER TABLE does to rows that are `erased`


def rules(subject: Subject, tables: Mapping[str, Sequence[str]]) -> list[Rule]:
    """The tables that hold something about a subject, by their columns.

    A click's row is deleted, and what hangs on it; but an order is the shop's own fact, and only forgets which click it was.
    An order goes whole; for what lies beside it see `Holdings._bought`. A partner's clicks, impressions and orders stay under
    its bare id; the first two without what it wrote about them, and without click ids.
    """
    found = []
    for table, columns in sorted(tables.items()):
        there = set(columns)
        if subject.what is What.CLICK and "click_id" in there:
            where = f"length(click_id) = {len(subject.id.encode())} AND {_is('click_id', subject)}"
            emptied = [f"{name} = {empty}" for name, empty in (("click_id", "''"), ("clicked_at", "0")) if name in there]
            found.append(Rule(table, where, where, _change(where, emptied if "order_id" in there else [])))
        elif subject.what is What.ORDER and {"client", "order_id"} <= there:
            name = _is("concat(client, '/', order_id)", subject)
            where = f"client = '{escaped(subject.client)}' AND {name}"
            found.append(Rule(table, where, where, _change(where, [])))
        elif subject.what is What.PARTNER and {"partner", "event_id", "at"} <= there:  # single events, no counts
            where, labels = f"partner = '{escaped(subject.id)}'", [name for name in (*LABELS, "click_id") if name in there]
            if there.isdisjoint(LABELS):
                found.append(Rule(table, where, "0", ""))
                continue
            some = " OR ".join(f"{name} != ''" for name in labels)
            told = f"{where} AND ({some})"
            found.append(Rule(table, where, told, _change(told, [f"{name} = ''" for name in labels])))
    return found


def _is(expression: str, subject: Subject) -> str:
    return f"hex(SHA256({expression})) = '{subject.digest.upper()}'"


def _change(where: str, assignments: Sequence[str]) -> str:
    return f"UPDATE {', '.join(assignments)} WHERE {where}" if assignments else f"DELETE WHERE {where}"


class Holdings:
    """Implements `rights.places.Database`."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def reached(self) -> None:
        await self._warehouse.everywhere("SELECT 1 AS n")

    async def count(self, subject: Subject) -> dict[str, int]:
        found = {rule.table: await self._count(rule.table, rule.erased) for rule in await self._rules(subject) if rule.change}
        return {f"clickhouse:{table}": rows for table, rows in found.items() if rows}

    async def erase(self, subject: Subject) -> int:
        changing, changed = [rule for rule in await self._rules(subject) if rule.change], []
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for rule in changing:
                    # after an erasure that was killed there is nothing to change, and still something to delete
                    if await self._change(rule) or self._warehouse.features.drops_old_parts:
                        changed.append(rule.table)
        except TimeoutError:
            raise Unavailable(
                f"ClickHouse has been rewriting its tables for {_PATIENCE_S:.0f} s and goes on; ask again, until it is done "
                "(should it never be: system.mutations says why)"
            ) from None
        return sum([await self._old_parts(table) for table in changed])

    async def rows(self, subject: Subject) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        tables = await self._tables()
        for rule in await self._rules(subject):
            for when in await self._days(rule) if "at" in tables[rule.table] else [""]:
                async for row in self._pages(rule, tables[rule.table], when):
                    yield f"clickhouse:{rule.table}", row

    async def _days(self, rule: Rule) -> list[str]:
        """The days that have rows, as conditions: one after the other they are found by the table's order."""
        sql = f"SELECT DISTINCT toUInt32(toStartOfDay(at)) AS day_s FROM {rule.table} WHERE {rule.held}"  # noqa: S608 - as below
        days = sorted(row["day_s"] for row in await self._warehouse.query(sql, {}))
        return [f"at >= toDateTime({day_s}) AND at < toDateTime({day_s + _DAY_S}) AND " for day_s in days]

    async def _pages(self, rule: Rule, columns: Sequence[str], when: str) -> AsyncIterator[dict[str, Any]]:
        after = ""
        while True:
            sql = (
                f"SELECT {', '.join(columns)} FROM {rule.table} "  # noqa: S608 - of our own names, and a digest
                f"WHERE {when}({rule.held}) AND event_id > '{escaped(after)}' ORDER BY event_id LIMIT {_PAGE}"
            )
            page = await self._warehouse.query(sql, {})
            for row in page:
                yield row
            if len(page) < _PAGE:
                return
            after = page[-1]["event_id"]

    async def held(self) -> list[Contents]:
        times = {row["table"]: row["name"] for row in reversed(await self._typed()) if row["type"].startswith("Date")}
        found = []
        for table in await self._tables():
            oldest = f"toUInt32(toDateTime(min({times[table]})))" if table in times else "toUInt32(0)"
            sql = f"SELECT count() AS n, {oldest} AS oldest_s FROM {table}"  # noqa: S608 - of our own names
            ((count, oldest_s),) = [tuple(row.values()) for row in await self._warehouse.query(sql, {})]
            found.append(Contents(f"clickhouse:{table}", count, oldest_s * 1000 if count and oldest_s else None))
        return found

    async def _rules(self, subject: Subject) -> list[Rule]:
        tables = await self._tables()
        return [*await self._bought(subject, tables), *rules(subject, tables)]

    async def _bought(self, subject: Subject, tables: Mapping[str, Sequence[str]]) -> list[Rule]:
        """What an order says of what was bought: beside it, under its click and the moment when it came. So it goes first, as
        nothing leads there once the order is gone.
        """
        if subject.what is not What.ORDER or not {AFFINITY.table, ORDER.table} <= tables.keys():
            return []
        (order,) = rules(subject, {ORDER.table: tables[ORDER.table]})
        sql = f"SELECT DISTINCT at_ms, hex(SHA256(click_id)) AS click FROM {ORDER.table} "  # noqa: S608 - as below
        rows = await self._warehouse.query(f"{sql} WHERE ({order.held}) AND click_id != ''", {})
        if not rows:
            return []
        clicks = ", ".join(f"'{click}'" for click in sorted({row["click"] for row in rows}))
        moments = ", ".join(map(str, sorted({row["at_ms"] for row in rows})))
        where = f"client = '{escaped(subject.client)}' AND at_ms IN ({moments}) AND hex(SHA256(click_id)) IN ({clicks})"
        return [Rule(AFFINITY.table, where, where, _change(where, []))]

    async def _tables(self) -> dict[str, list[str]]:
        """The columns of every table that holds rows, by the name under which it is read. WarehouseAway when there is none."""
        found = await self._warehouse.query(_TABLES, {})
        end = "_local" if self._warehouse.features.cluster else ""
        names = {row["name"].removesuffix(end) for row in found}
        if not names:
            raise WarehouseAway("ClickHouse has no tables of pixeld's yet; flushing makes them")
        typed = await self._typed()
        return {name: [row["name"] for row in typed if row["table"] == name] for name in sorted(names)}

    async def _typed(self) -> list[dict[str, Any]]:
        return await self._warehouse.query(_COLUMNS, {})

    async def _count(self, table: str, where: str) -> int:
        rows = await self._warehouse.query(f"SELECT count() AS n FROM {table} WHERE {where}", {})  # noqa: S608 - as above
        return int(rows[0]["n"])

    async def _change(self, rule: Rule) -> bool:
        """Change a rule's rows in every replica; whether there were any."""
        stored = self._warehouse.features.stored(rule.table)
        remaining = f"SELECT count() AS n FROM {stored} WHERE {rule.erased}"  # noqa: S608 - as above
        there = False
        while sum(row["n"] for row in await self._warehouse.everywhere(remaining)):
            if not there and not await self._under_way(stored):
                await self._warehouse.command(f"{self._warehouse.features.alter(rule.table)} {rule.change}")
            there = True
            await asyncio.sleep(_STEP_S)
            while await self._under_way(stored):  # noqa: ASYNC110 - no server tells when it is done
                await asyncio.sleep(_STEP_S)
        return there

    async def _under_way(self, stored: str) -> bool:
        """Whether a change of a table goes on at any server."""
        sql = "SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() AND NOT is_done AND table = "
        return any(row["n"] for row in await self._warehouse.everywhere(f"{sql}'{stored}'"))

    async def _old_parts(self, table: str) -> int:
        """Delete what is left of the parts that have just been replaced; how many there still are."""
        features = self._warehouse.features
        where = f"database = currentDatabase() AND NOT active AND table = '{features.stored(table)}'"
        sql = f"SELECT name FROM system.parts WHERE {where}"  # noqa: S608 - of our own names
        before = [row["name"] for row in await self._warehouse.everywhere(sql)]
        if not features.drops_old_parts:
            return len(before)
        left, until = set(before), asyncio.get_running_loop().time() + _OLD_PARTS_S
        while left and asyncio.get_running_loop().time() < until:
            await self._warehouse.command(f"{features.alter(table)} DROP PARTITION ID '{_NO_PARTITION}'")
            left &= {row["name"] for row in await self._warehouse.everywhere(sql)}
            if left:
                await asyncio.sleep(_STEP_S)
        return len(left)
