"""What is held on somebody, and how it goes: on the embedded engine, a server over the wire (18.16) and a replicated cluster."""

import asyncio

import pytest

from pixeld.domain.events import AFFINITY, CLICK, DECISION, IMPRESSION, ORDER, TEST_ORDER
from pixeld.domain.subject import Subject, What
from pixeld.errors import WarehouseAway
from pixeld.storage import holdings
from pixeld.storage.holdings import Holdings
from tests.contract import test_cluster as on_cluster
from tests.contract import test_warehouse as on_engines
from tests.contract.test_warehouse import NOON_MS, columns, encoded, record

engine, opened, empty, warehouse = on_engines.engine, on_engines.opened, on_engines.empty, on_engines.warehouse
running, cluster, connect = on_cluster.running, on_cluster.cluster, on_cluster.connect
DAY_MS = 86_400_000
CLICK_ID = Subject(What.CLICK, "click-1")
ODD = ["4711", "4711'", "47\\11", "' OR 1 = 1 --", "shop/4711", "4711\\", "日本 \U0001f600", "%", "x" * 128]


async def stored(warehouse):
    """Two clicks, their orders, an impression and a decision; and what is about neither."""
    labels = {"s1": "a label", "partner_click_id": "9", "creative": "top"}
    rows = [
        (CLICK, {"partner": "blog", "click_id": "click-1"} | labels),
        (CLICK, {"partner": "blog", "click_id": "click-2"} | labels),
        (CLICK, {"partner": "deals", "click_id": "click-3", "at_ms": NOON_MS - 2 * DAY_MS} | labels),
        (IMPRESSION, {"partner": "blog"} | labels),
        (ORDER, {"order_id": "O-1", "partner": "blog", "click_id": "click-1", "clicked_at": 7, "amount_minor": 100}),
        (ORDER, {"order_id": "O-2", "partner": "blog", "click_id": "click-2", "clicked_at": 8, "amount_minor": 200}),
        (TEST_ORDER, {"order_id": "O-1", "click_id": "click-1", "clicked_at": 7}),
        (DECISION, {"order_id": "O-1", "status": "approved", "who": "admin"}),
    ]
    for n, (kind, values) in enumerate(rows):
        await on_cluster.insert(warehouse, [record(kind, f"e-{n}", **values)], kind, f"token-{n}")
    return Holdings(warehouse)


async def read(warehouse, *names, table):
    rows = await warehouse.query(f"SELECT {', '.join(names)} FROM {table} ORDER BY event_id", {})
    return [tuple(row.values()) for row in rows]


async def parts(warehouse):
    """Parts on the disk, read or not any more, of tables that click ids lie in. The engine may merge some at any time."""
    tables = "table IN ('clicks', 'order_events', 'test_order_events')"
    sql = f"SELECT table, name FROM system.parts WHERE database = currentDatabase() AND {tables}"
    return {tuple(row.values()) for row in await warehouse.query(sql, {})}


async def erased(held, subject):
    """What an erasure found; then nothing is found."""
    found = await on_cluster.again(lambda: held.count(subject))
    left = await on_cluster.again(lambda: held.erase(subject))
    assert await on_cluster.again(lambda: held.count(subject)) == {}
    return found, left


async def test_a_click_goes_and_its_orders_forget_it(warehouse):
    held = await stored(warehouse)
    before = await parts(warehouse)
    found, left = await erased(held, CLICK_ID)
    still = before & await parts(warehouse)
    assert found == {"clickhouse:clicks": 1, "clickhouse:order_events": 1, "clickhouse:test_order_events": 1}
    assert await read(warehouse, "click_id", table="clicks") == [("click-2",), ("click-3",)]
    orders = await read(warehouse, "order_id", "partner", "click_id", "clicked_at", "amount_minor", table="order_events")
    assert orders == [("O-1", "blog", "", 0, 100), ("O-2", "blog", "click-2", 8, 200)]
    assert await read(warehouse, "order_id", "click_id", "clicked_at", table="test_order_events") == [("O-1", "", 0)]
    assert (left, still) == (0, set()) if warehouse.features.drops_old_parts else left >= len(still) > 0  # 18.16 deletes them later
    (said,) = await warehouse.query("SELECT countIf(command LIKE '%click-1%') AS n FROM system.mutations", {})
    assert said["n"] == 0


async def test_what_a_killed_erasure_left_on_the_disk_goes_with_the_next(warehouse):
    held = await stored(warehouse)
    before = await parts(warehouse)
    for rule in await held._rules(CLICK_ID):
        await held._change(rule)
    assert before & await parts(warehouse) and await held.count(CLICK_ID) == {}
    await held.erase(CLICK_ID)
    assert bool(before & await parts(warehouse)) is not warehouse.features.drops_old_parts


async def test_an_order_goes_whole_with_its_decisions(warehouse):
    held = await stored(warehouse)
    found, _ = await erased(held, Subject(What.ORDER, "O-1", "shop"))
    assert found == {f"clickhouse:{table}": 1 for table in ("order_decisions", "order_events", "test_order_events")}
    assert await read(warehouse, "order_id", table="order_events") == [("O-2",)]
    assert len(await read(warehouse, "click_id", table="clicks")) == 3


async def test_what_was_bought_goes_with_its_order_and_no_other(warehouse):
    held = await stored(warehouse)
    bought = [
        {"click_id": "click-1", "categories": "tea"},
        {"click_id": "click-2", "categories": "coffee"},
        {"click_id": "click-1", "categories": "cups", "at_ms": NOON_MS + 1},
        {"click_id": "click-1", "categories": "pots", "client": "other"},
    ]
    rows = [record(AFFINITY, f"f-{n}", partner="blog", **values) for n, values in enumerate(bought)]
    await warehouse.insert(AFFINITY.table, columns(AFFINITY), encoded(rows), "bought")
    order = Subject(What.ORDER, "O-1", "shop")
    assert [row["categories"] async for place, row in held.rows(order) if place == "clickhouse:affinities"] == ["tea"]
    found, _ = await erased(held, order)
    assert found["clickhouse:affinities"] == found["clickhouse:order_events"] == 1
    assert await read(warehouse, "categories", table="affinities") == [("coffee",), ("cups",), ("pots",)]


async def test_a_partner_keeps_its_clicks_without_labels(warehouse):
    held = await stored(warehouse)
    found, _ = await erased(held, Subject(What.PARTNER, "blog"))
    assert found == {"clickhouse:clicks": 2, "clickhouse:impressions": 1}
    clicks = await read(warehouse, "partner", "click_id", "s1", "partner_click_id", "creative", table="clicks")
    assert clicks == [("blog", "", "", "", ""), ("blog", "", "", "", ""), ("deals", "click-3", "a label", "9", "top")]
    assert await read(warehouse, "partner", "click_id", table="order_events") == [("blog", "click-1"), ("blog", "click-2")]


@pytest.mark.parametrize("order", ODD, ids=ascii)
async def test_an_order_of_any_name_goes_alone(warehouse, order):
    rows = [record(ORDER, f"e-{n}", client=client, order_id=name) for n, (client, name) in
            enumerate((client, name) for client in ("shop", "other") for name in ODD)]  # fmt: skip
    await warehouse.insert(ORDER.table, columns(ORDER), encoded(rows), "token")
    found, _ = await erased(Holdings(warehouse), Subject(What.ORDER, order, "shop"))
    assert found == {"clickhouse:order_events": 1}
    left = {tuple(row) for row in await read(warehouse, "client", "order_id", table="order_events")}
    assert {(client, name) for client in ("shop", "other") for name in ODD} - left == {("shop", order)}


async def test_a_table_of_tomorrow_is_covered(warehouse):
    held = await stored(warehouse)
    engine = "MergeTree PARTITION BY toYYYYMM(at) ORDER BY at"
    await warehouse.command("CREATE TABLE timeless (click_id String, event_id String) ENGINE = MergeTree ORDER BY event_id")
    await warehouse.command("INSERT INTO timeless SELECT 'click-1', 't'")
    assert [row async for place, row in held.rows(CLICK_ID) if place == "clickhouse:timeless"]
    await warehouse.command(f"CREATE TABLE wishes (click_id String, event_id String, at DateTime) ENGINE = {engine}")
    await warehouse.command("INSERT INTO wishes SELECT 'click-1', 'w', toDateTime(1774785600)")
    assert [row async for place, row in held.rows(CLICK_ID) if place == "clickhouse:wishes"]
    found, _ = await erased(held, CLICK_ID)
    assert (found["clickhouse:wishes"], found["clickhouse:timeless"]) == (1, 1)


async def test_all_that_is_held_is_told_page_by_page(warehouse, monkeypatch):
    held = await stored(warehouse)
    monkeypatch.setattr(holdings, "_PAGE", 1)
    found = [(place, row["event_id"]) async for place, row in held.rows(Subject(What.PARTNER, "blog"))]
    assert found == [("clickhouse:clicks", "e-0"), ("clickhouse:clicks", "e-1"), ("clickhouse:impressions", "e-3"),
                     ("clickhouse:order_events", "e-4"), ("clickhouse:order_events", "e-5")]  # fmt: skip
    (click,) = [row async for place, row in held.rows(CLICK_ID) if place == "clickhouse:clicks"]
    assert click["s1"] == "a label" and click["click_id"] == "click-1"


async def test_every_table_is_told_with_its_oldest_row(warehouse):
    held = {each.place: each for each in await (await stored(warehouse)).held()}
    assert held["clickhouse:clicks"][1:] == (3, NOON_MS - 2 * DAY_MS)
    assert held["clickhouse:order_events"][1:] == (2, NOON_MS)
    assert held["clickhouse:traffic_hourly"].number > 0 and held["clickhouse:schema_migrations"].oldest_ms
    assert "clickhouse:orders" not in held  # a view


async def test_a_change_that_goes_on_is_waited_for_and_not_begun_again(warehouse):
    """As after a process that was killed in the middle."""
    held, given = await stored(warehouse), []
    command, under_way = warehouse.command, iter([True, True])

    async def noting(sql):
        given.append(sql)
        await command(sql)

    async def going_on(_):
        if next(under_way, False):
            return True
        if not given:
            await noting(warehouse.features.alter("clicks") + " DELETE WHERE click_id = 'click-1'")
        return False

    warehouse.command, held._under_way = noting, going_on
    try:
        async with asyncio.timeout(120):
            await held._change(next(rule for rule in holdings.rules(CLICK_ID, {"clicks": ["click_id"]})))
    finally:
        del warehouse.command
    assert len(given) == 1


@pytest.mark.services
async def test_every_replica_of_a_cluster_loses_it(cluster, connect):
    warehouse = connect()
    held = await stored(warehouse)
    await on_cluster.settled(warehouse)
    found, left = await erased(held, CLICK_ID)
    assert found == {"clickhouse:clicks": 1, "clickhouse:order_events": 1, "clickhouse:test_order_events": 1} and left > 0
    for n in range(4):
        sql = "SELECT count() AS n FROM {}_local WHERE click_id = 'click-1'"
        for table in ("clicks", "order_events", "test_order_events"):
            assert (await connect(n, hosts=1).query(sql.format(table), {}))[0]["n"] == 0
    assert sorted(row[0] for row in await read(warehouse, "click_id", table="clicks")) == ["click-2", "click-3"]
    assert len(await read(warehouse, "order_id", table="order_events")) == 2


@pytest.mark.services
async def test_a_cluster_with_a_server_away_is_not_touched(cluster, connect):
    held = Holdings(connect())
    cluster.nodes[3].kill()
    with pytest.raises(WarehouseAway):
        await held.reached()
