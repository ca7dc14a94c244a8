"""What the data map promises, the tables keep: no longer than it says, also after it has changed."""

import asyncio
import time
from contextlib import AsyncExitStack, nullcontext
from datetime import UTC, date, datetime

import orjson
import pytest

from pixeld import privacy
from pixeld.domain.events import AFFINITY, CLICK, DECISION, FORGET, IMPRESSION, ORDER, TEST_ORDER
from pixeld.errors import PolicyError, SettingsError
from pixeld.metrics import Metrics
from pixeld.parts.flushing import Flushers
from pixeld.settings import Settings
from pixeld.storage import migrations, retention
from pixeld.storage.engines import open_warehouse
from pixeld.storage.warehouse import INTEGERS

DAY_MS = 86_400_000
KEPT = privacy.default_map().kept_days


@pytest.fixture
async def warehouse(tmp_path):
    opened = open_warehouse(None, tmp_path)
    await opened.connect()
    await migrations.apply(opened)
    yield opened
    await opened.close()


async def insert(warehouse, kind, at_ms, event_id):
    values = [0 if column in INTEGERS else "x" for column in kind.columns[1:]]
    row = orjson.dumps((at_ms, *values, event_id))
    await warehouse.insert(kind.table, (*kind.columns, "event_id"), [row], event_id)


async def events(warehouse, kind):
    return [row["event_id"] for row in await warehouse.query(f"SELECT event_id FROM {kind.table} ORDER BY event_id", {})]


@pytest.mark.parametrize("kind", [CLICK, IMPRESSION, ORDER, TEST_ORDER, DECISION, AFFINITY, FORGET], ids=lambda kind: kind.table)
async def test_what_is_older_is_gone_after_a_merge(warehouse, kind):
    await retention.apply(warehouse, KEPT)
    now_ms, days = int(time.time() * 1000), KEPT[kind.table]  # the engine's own clock decides
    for age in (days - 1, days + 1):
        await insert(warehouse, kind, now_ms - age * DAY_MS, f"aged-{age}")
    await warehouse.command(f"OPTIMIZE TABLE {kind.table} FINAL")
    assert await events(warehouse, kind) == [f"aged-{days - 1}"]


async def test_every_table_follows_a_map_that_changes(warehouse):
    assert len(await retention.apply(warehouse, KEPT)) == len(retention.ages())
    assert await retention.apply(warehouse, KEPT) == []
    now_ms = int(time.time() * 1000)
    await insert(warehouse, CLICK, now_ms - 40 * DAY_MS, "older")
    await insert(warehouse, CLICK, now_ms - 20 * DAY_MS, "younger")
    assert await retention.apply(warehouse, KEPT | {"clicks": 30}) == ["ALTER TABLE clicks MODIFY TTL at + INTERVAL 30 DAY"]
    await warehouse.command("OPTIMIZE TABLE clicks FINAL")
    assert await events(warehouse, CLICK) == ["younger"]
    assert await retention.apply(warehouse, KEPT | {"clicks": None}) == ["ALTER TABLE clicks REMOVE TTL"]
    assert await retention.plan(warehouse, KEPT | {"clicks": None}) == []


async def test_a_day_is_dropped_where_a_partition_is_one(warehouse):
    for day in (date(2026, 1, 31), date(2026, 2, 1)):
        await insert(warehouse, FORGET, int(datetime(*day.timetuple()[:3], tzinfo=UTC).timestamp() * 1000), str(day))
    dropped = await retention.drop_past(warehouse, dict.fromkeys(KEPT) | {"forgotten": 8}, date(2026, 2, 10))
    assert dropped == ["ALTER TABLE forgotten DROP PARTITION 20260131"]


async def test_a_month_is_dropped_once_its_last_moment_is_past(warehouse):
    for day in (date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 1)):
        await insert(warehouse, CLICK, int(datetime(*day.timetuple()[:3], tzinfo=UTC).timestamp() * 1000), str(day))
    kept = dict.fromkeys(KEPT) | {"clicks": 10}
    assert await retention.drop_past(warehouse, kept, date(2026, 2, 11)) == []
    assert len(await events(warehouse, CLICK)) == 3
    dropped = await retention.drop_past(warehouse, kept, date(2026, 2, 12))
    assert dropped == ["ALTER TABLE clicks DROP PARTITION 202601"]
    assert await events(warehouse, CLICK) == ["2026-02-01"]
    assert await retention.drop_past(warehouse, kept | {"clicks": None}, date(2036, 1, 1)) == []


async def test_one_that_is_refused_keeps_no_other(warehouse, caplog):
    for kind in (AFFINITY, CLICK, FORGET):
        await insert(warehouse, kind, int(datetime(2026, 1, 31, tzinfo=UTC).timestamp() * 1000), "old")
    await warehouse.command("ALTER TABLE clicks MODIFY SETTING table_readonly = 1")
    kept = dict.fromkeys(KEPT) | {"affinities": 7, "clicks": 10, "forgotten": 8}
    dropped = await retention.drop_past(warehouse, kept, date(2026, 3, 1))
    assert dropped == [f"ALTER TABLE {table} DROP PARTITION 20260131" for table in ("affinities", "forgotten")]
    (said,) = caplog.records
    assert said.statements == ["ALTER TABLE clicks DROP PARTITION 202601"] and "readonly" in said.reason


async def test_a_server_drops_by_itself_what_is_past(warehouse, clock, caplog):
    caplog.set_level("INFO")
    now_ms = int(time.time() * 1000)
    await insert(warehouse, CLICK, now_ms, "old to the server, and not to the engine, whose TTL would be as good")
    clock.ms = now_ms + 100 * DAY_MS
    async with AsyncExitStack() as stack:
        failed, kept = asyncio.get_running_loop().create_future(), dict.fromkeys(KEPT) | {"clicks": 10}
        flushers = Flushers(stack, failed, Settings(), None, warehouse, Metrics(), "a test", clock, kept)
        await flushers._prepare()
        async with asyncio.timeout(60):
            while "dropped what the privacy data map says is past its time" not in caplog.text:
                await asyncio.sleep(0.01)
    assert await events(warehouse, CLICK) == []


async def test_a_server_that_may_not_alter_its_tables_flushes_all_the_same(warehouse, clock, caplog):
    async with AsyncExitStack() as stack:
        failed, kept = asyncio.get_running_loop().create_future(), KEPT | {"clicks": "some"}  # which the engine refuses
        flushers = Flushers(stack, failed, Settings(), None, warehouse, Metrics(), "a test", clock, kept)
        await flushers._prepare()
        assert flushers._prepared.is_set() and not failed.done()
    assert "tables keep their rows longer than the privacy data map says" in caplog.text


def test_a_map_that_says_nothing_of_a_table_is_refused_by_its_name():
    with pytest.raises(SettingsError, match="names no column of clicks, so that"):
        retention.check({table: days for table, days in KEPT.items() if table != "clicks"})


@pytest.mark.parametrize(
    ("affinities", "forgotten", "said"),
    [
        (7, 8, None), (0, 1, None), (7, None, None), (None, None, None),
        (8, 8, "keeps affinities 8 days and forgotten 8 days, so"), (30, 8, "keeps affinities 30 days and forgotten 8 days, so"),
        (None, 8, "keeps affinities without limit and forgotten 8 days, so"),
    ],
)  # fmt: skip
def test_a_wish_to_forget_is_kept_longer_than_what_is_forgotten(affinities, forgotten, said):
    with pytest.raises(PolicyError, match=said) if said else nullcontext():
        retention.check(KEPT | {"affinities": affinities, "forgotten": forgotten})


async def test_more_days_than_there_are_until_2106_are_refused_and_the_most_that_are_allowed_end_in_time(warehouse):
    with pytest.raises(SettingsError, match="says 36500 days for clicks, and .* say 20000 or less"):
        retention.check(KEPT | {"clicks": 36_500})
    retention.check(KEPT | {"clicks": retention.MOST_DAYS, "impressions": None})
    sql = "SELECT toUInt32(toDateTime('2050-01-01 00:00:00', 'UTC') + INTERVAL {} DAY) AS s"
    ((most,), (too_many,)) = [
        tuple((await warehouse.query(sql.format(days), {}))[0].values()) for days in (retention.MOST_DAYS, 36_500)
    ]
    assert too_many < datetime(2050, 1, 1, tzinfo=UTC).timestamp() < most
