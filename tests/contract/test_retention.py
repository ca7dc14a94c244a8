"""What the privacy page promises, the tables keep: no longer than the data map says."""

import re
import time
from pathlib import Path

import orjson
import pytest

from pixeld import privacy
from pixeld.domain.events import AFFINITY, CLICK, DECISION, FORGET, ORDER
from pixeld.storage import migrations
from pixeld.storage.engines import open_warehouse
from pixeld.storage.warehouse import INTEGERS

DAY_MS = 86_400_000


def kept_days(name):
    (migration,) = [m for m in migrations.known() if m.name == name]
    return int(re.search(r"\{\{keep (\d+) \w+\}\}", migration.text)[1])


def promised(path=Path(__file__).parents[2] / "config" / "privacy.toml"):
    """The days that the map states, by the title of the statement that states them."""
    data_map = privacy.load(path.read_bytes())
    return {statement.title: {item.kept_days for item in statement.data} for statement in data_map.statements}


def test_every_table_that_holds_events_is_kept_as_long_as_the_map_says():
    days = {frozenset(days) for days in promised().values()}
    assert frozenset({kept_days(name) for name in ("clicks", "impressions", "traffic_hourly", "traffic_grains")}) in days
    assert frozenset({kept_days(name) for name in ("order_events", "test_order_events", "order_decisions")}) in days


@pytest.mark.parametrize(
    ("kind", "days"),
    [(kind, kept_days(kind.table)) for kind in (CLICK, ORDER, DECISION, AFFINITY, FORGET)],
    ids=["clicks", "orders", "decisions", "affinities", "what is forgotten"],
)
async def test_what_is_older_is_gone_after_a_merge(tmp_path, kind, days):
    warehouse = open_warehouse(None, tmp_path)
    try:
        await warehouse.connect()
        await migrations.apply(warehouse)
        now_ms = int(time.time() * 1000)  # the engine's own clock decides
        for age in (days - 1, days + 1):
            values = [0 if column in INTEGERS else "x" for column in kind.columns[1:]]
            row = orjson.dumps((now_ms - age * DAY_MS, *values, f"event-{age}"))
            await warehouse.insert(kind.table, (*kind.columns, "event_id"), [row], f"token-{age}")
        await warehouse.command(f"OPTIMIZE TABLE {kind.table} FINAL")
        rows = await warehouse.query(f"SELECT event_id FROM {kind.table}", {})
        assert rows == [{"event_id": f"event-{days - 1}"}]
    finally:
        await warehouse.close()
