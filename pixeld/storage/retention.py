"""How long tables keep their rows: the days that the data map promises, as TTLs where the server has them, and by partitions
that are dropped whole once all of one is past its time, which any server can do.

A table whose rows go has `{{keep COLUMN}}` in its migration: the column that tells a row's age. The days are not there, so
that a changed map changes a database that is in use, too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache

from pixeld.domain.events import AFFINITY, FORGET
from pixeld.errors import PolicyError, SettingsError, WarehouseRefused
from pixeld.storage import migrations
from pixeld.storage.warehouse import Warehouse

log = logging.getLogger(__name__)
KeptDays = Mapping[str, int | None]  # for each table; None is without limit
#: ClickHouse's times end in 2106. What would go later may go at once: a time and too many days are one in the past.
MOST_DAYS = 20_000
_PARTED = {len("YYYYMM"): "toYYYYMM", len("YYYYMMDD"): "toYYYYMMDD"}  # what tables are parted by


@cache
def ages() -> dict[str, str]:
    """For each table whose rows go, the column that tells a row's age."""
    found = (re.search(r"\{\{create (\w+)\}\}.*\{\{keep (\w+)\}\}", each.text, re.DOTALL) for each in migrations.known())
    return {match[1]: match[2] for match in found if match}


def check(kept_days: KeptDays) -> None:
    """SettingsError when the map doesn't say how long some table keeps its rows, or says more than ClickHouse can count;
    PolicyError when what visitors have had forgotten would come back.
    """
    if missing := sorted(ages().keys() - kept_days.keys()):
        raise SettingsError(
            f"the privacy data map names no column of {', '.join(missing)}, so that nobody can tell how long its rows are "
            "to be kept; name its columns with a kept_days, as config/privacy.toml does"
        )
    long = {table: days for table in sorted(ages()) if (days := kept_days[table]) is not None and days > MOST_DAYS}
    if long:
        said = ", ".join(f"{days} days for {table}" for table, days in long.items())
        raise SettingsError(
            f"the privacy data map says {said}, and ClickHouse's clock ends in 2106, so that such rows might go at once; say "
            f"{MOST_DAYS} or less, or leave kept_days out to keep them without limit"
        )
    bought, wishes = kept_days[AFFINITY.table], kept_days[FORGET.table]
    if wishes is not None and (bought is None or wishes <= bought):  # rows go with a merge or by the hour, not at the moment
        said = "without limit" if bought is None else f"{bought} days"
        raise PolicyError(
            f"the privacy data map keeps {AFFINITY.table} {said} and {FORGET.table} {wishes} days, so that what a visitor has "
            f"had forgotten would be shown and counted again; say a day more or longer for {FORGET.table}, as "
            "config/privacy.toml does"
        )


async def apply(warehouse: Warehouse, kept_days: KeptDays) -> list[str]:
    """Bring every table's TTL to the map's days; the statements that this call ran. What is past its time goes with the next
    merge, soon. Nothing on a server without TTLs.
    """
    statements = await plan(warehouse, kept_days)
    for statement in statements:
        await warehouse.command(statement)
    return statements


async def plan(warehouse: Warehouse, kept_days: KeptDays) -> list[str]:
    """The statements that `apply` would run now. Changes nothing."""
    features = warehouse.features
    if not features.ttl:
        return []
    stored = {features.stored(table): table for table in ages()}
    rows = await warehouse.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()", {})
    statements = []
    for row in rows:
        if (table := stored.get(row["name"])) is None:
            continue
        column, days = ages()[table], kept_days[table]
        now = re.search(r"\bTTL (\w+) \+ toIntervalDay\((\d+)\)", row["engine_full"])
        if days is None and now:
            statements.append(f"{features.alter(table)} REMOVE TTL")
        elif days is not None and (now is None or now.groups() != (column, str(days))):
            statements.append(f"{features.alter(table)} MODIFY TTL {column} + INTERVAL {days} DAY")
    return statements


async def drop_past(warehouse: Warehouse, kept_days: KeptDays, today: date) -> list[str]:
    """Drop every partition of which even the last moment is past its time; the statements that this call ran. Where not every
    server can do that, the rows of such a partition are deleted, soon. One that is refused (ClickHouse drops no partition over
    `max_partition_size_to_drop`, 50 GB) is logged and keeps no other.
    """
    features = warehouse.features
    stored = {features.stored(table): table for table in ages()}
    parts = features.everywhere("system.parts")
    sql = f"SELECT DISTINCT table, partition FROM {parts} WHERE active AND rows > 0 AND database = currentDatabase()"  # noqa: S608 - our own
    statements = []
    for row in sorted(await warehouse.query(sql, {}), key=lambda row: (row["table"], row["partition"])):
        table = stored.get(row["table"])
        days = kept_days[table] if table else None
        if table and days is not None and _ended(row["partition"]) + timedelta(days=days) < today:
            rows = f"{_PARTED[len(row['partition'])]}({ages()[table]}) = {row['partition']}"
            drop = f"DROP PARTITION {row['partition']}" if features.drops_partitions else f"DELETE WHERE {rows}"
            statements.append(f"{features.alter(table)} {drop}")
    ran = []
    for statement in statements:
        try:
            await warehouse.command(statement)
        except WarehouseRefused as error:
            refused = {"statements": [statement], "reason": str(error)}
            log.warning("what is past its time could not be dropped now", extra=refused)
        else:
            ran.append(statement)
    return ran


def _ended(partition: str) -> date:
    """The first day after a month, `YYYYMM`, or a day, `YYYYMMDD`."""
    year, month, day = int(partition[:4]), int(partition[4:6]), partition[6:]
    if day:
        return date(year, month, int(day)) + timedelta(days=1)
    return (date(year, month, 1) + timedelta(days=31)).replace(day=1)
