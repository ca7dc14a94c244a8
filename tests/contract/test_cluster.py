"""What a replicated cluster promises: two shards of two replicas of Debian's ClickHouse 18.16, and its ZooKeeper.

A batch is stored once, whichever server takes it, however often it is sent and whoever dies meanwhile. Every test has a client of
its own, and leaves every server running.
"""

import asyncio
import datetime as dt
import itertools
import random
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pixeld.domain.events import CLICK, KINDS, ORDER, REFUSAL
from pixeld.domain.reports import OrdersQuery, PerformanceQuery, RefusalsQuery, Scope
from pixeld.errors import MigrationError, SettingsError, WarehouseAway
from pixeld.storage import clickhouse, migrations, retention
from pixeld.storage import warehouse as module
from pixeld.storage.clickhouse import Address
from pixeld.storage.engines import open_warehouse
from pixeld.storage.features import Cluster, Features
from pixeld.storage.reports import Reports
from pixeld.tasks import cancel
from tests.contract.test_warehouse import (
    BY,
    CLIENTS,
    WEEKS,
    ZONES,
    as_model,
    columns,
    encoded,
    model,
    random_events,
    record,
    store,
)
from tests.services import clickhouse_cluster

pixels = Cluster("pixels", "pixeld")
OLD, NEW = Features.of("18.16.1", pixels), Features.of("26.9.2.1", pixels)
services = pytest.mark.services
PATIENCE_S = 150  # five servers share a busy machine


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with clickhouse_cluster(tmp_path_factory.mktemp("cluster")) as cluster:

        async def migrate():
            warehouse = open_warehouse(cluster.url(), Path())
            await begun(cluster, warehouse)
            await warehouse.close()

        asyncio.run(migrate())
        yield cluster


async def begun(cluster, warehouse):
    """A database that isn't there yet, with its schema: 18.16 may crash at the first statement, and is then started again."""
    await migrated(warehouse, migrations.known()[:1])
    cluster.revive()
    await migrated(warehouse)


async def migrated(warehouse, wanted=None):
    """`migrations.apply`, until it is done. Each statement waits 3 s for a server that is down."""
    return await again(lambda: migrations.apply(warehouse, wanted), 2 * PATIENCE_S)


async def again(work, seconds=PATIENCE_S):
    """What `work` returns as soon as nothing that it needs is away."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await work()
            except WarehouseAway:
                await asyncio.sleep(0.1)


@pytest.fixture
def cluster(running):
    """The cluster with its schema and all of its servers, before a test and after it."""
    running.revive()
    yield running
    running.revive()


@pytest.fixture
async def connect(cluster):
    """Opens a warehouse whose first host is nodes[n]."""
    opened = []

    def open_first(n=0, database="pixeld", hosts=4):
        ports = [cluster.nodes[(n + i) % 4].port for i in range(hosts)]
        opened.append(open_warehouse(cluster.url(database, ports=ports), Path()))
        return opened[-1]

    yield open_first
    for warehouse in opened:
        await warehouse.close()


@pytest.fixture
def client(request):
    """The client whose events a test makes."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name)[-32:].strip("-")


def batch(client, name, size=50, kind=CLICK):
    return [record(kind, f"{name}-{n}", client=client, **({"order_id": f"o{n}"} if "order_id" in kind.columns else {}))
            for n in range(size)]  # fmt: skip


async def stored(warehouse, client, kind=CLICK):
    """(rows, distinct events) of a client, as its reports see them."""
    await settled(warehouse)
    sql = f"SELECT count() AS n, uniqExact(event_id) AS ids FROM {kind.table} WHERE client = {{client:String}}"
    (row,) = await warehouse.query(sql, {"client": client})
    return row["n"], row["ids"]


async def settled(warehouse):
    return await again(warehouse.settled)


async def insert(warehouse, rows, kind=CLICK, token="the same"):
    """Insert, again and again until it is done, as the flusher does; how often it took."""
    attempt = 1
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await warehouse.insert(kind.table, columns(kind), encoded(rows), token)
                return attempt
            except WarehouseAway:
                attempt += 1
                await asyncio.sleep(0.1)


async def copies(connect, client, kind=CLICK):
    """A client's rows on each node's own disk."""
    found = []
    for n in range(4):
        sql = f"SELECT count() AS n FROM {kind.table}_local WHERE client = {{client:String}}"
        found.append((await connect(n, hosts=1).query(sql, {"client": client}))[0]["n"])
    return found


async def until(ask, good):
    deadline = time.monotonic() + PATIENCE_S
    while not good(found := await ask()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    return found


# ---- schema


@services
async def test_every_node_has_the_tables_and_a_second_run_changes_nothing(connect):
    nodes = [connect(n, hosts=1) for n in range(4)]

    async def tables():
        sql = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"
        return {tuple([row["name"] for row in await node.query(sql, {})]) for node in nodes}

    (tables,) = await until(tables, lambda found: len(found) == 1)  # a server that was down meanwhile gets them a moment later
    for node in nodes:
        assert await migrations.apply(node) == []
        assert all(state.applied_at for state in await migrations.status(node))
    assert {"clicks", "clicks_local", "orders", "orders_local", "schema_migrations"} <= set(tables)
    assert not [name for name in tables if "hourly" in name]  # without tokens they would not be exact


@services
async def test_two_runs_at_once_through_different_hosts_do_no_harm(cluster, connect):
    one, other = connect(0, "twice"), connect(3, "twice")
    await asyncio.gather(migrated(one), migrated(other))
    cluster.revive()  # as in `begun`
    await settled(one)
    await settled(other)
    assert await migrated(one) == await migrated(other) == []
    await insert(one, batch("both", "x"))
    assert await stored(other, "both") == (50, 50)


@services
async def test_a_schema_made_while_a_server_is_down_reaches_it_later(cluster, connect):
    cluster.nodes[3].kill()
    await migrated(connect(0, "late"), migrations.known()[:2])
    cluster.nodes[3].start()
    late = connect(3, "late", hosts=1)

    async def tables():
        try:
            return await late.query("SELECT name FROM system.tables WHERE database = 'late'", {})
        except WarehouseAway:
            return []

    await until(tables, lambda rows: {"name": "clicks"} in rows)


@services
async def test_a_single_servers_database_is_no_clusters_and_the_other_way_round(cluster, connect):
    single = open_warehouse(cluster.nodes[0].url("plain"), Path())
    await migrations.apply(single)
    await single.close()
    with pytest.raises(MigrationError, match="made for a single server"):
        await migrations.apply(connect(0, "plain"))
    single = open_warehouse(cluster.nodes[0].url("pixeld"), Path())
    with pytest.raises(MigrationError, match="made for a cluster"):
        await migrations.apply(single)
    await single.close()


# ---- inserts


@services
@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind is not REFUSAL], ids=lambda kind: kind.name)
async def test_a_batch_through_every_host_is_stored_once(connect, client, kind):
    rows = batch(client, "a", kind=kind)
    for n in range(4):
        await insert(connect(n), rows, kind)
        assert await stored(connect(n), client, kind) == (50, 50)
    found = await until(lambda: copies(connect, client, kind), lambda found: sum(found) == 100)
    assert found[0] == found[1] and found[2] == found[3]
    assert min(found) > 10  # spread


@services
async def test_the_same_rows_in_another_batch_are_kept(connect, client):
    warehouse = connect()
    await insert(warehouse, batch(client, "one"))
    await insert(warehouse, batch(client, "two"))  # all values but the event's id
    await insert(warehouse, batch(client, "one"))
    assert await stored(warehouse, client) == (100, 100)


@services
async def test_a_batch_whose_coordinator_is_killed_is_stored_once(cluster, connect, client):
    rnd, total = random.Random(client), 0
    for turn in range(6):
        first = turn % 4
        warehouse, rows = connect(first), batch(client, f"turn {turn}", 20_000)
        inserting = asyncio.create_task(insert(warehouse, rows))
        await asyncio.sleep(rnd.random() * 0.25)
        cluster.nodes[first].kill()
        await inserting
        cluster.nodes[first].start()
        await insert(connect((first + 2) % 4), rows)
        total += len(rows)
    assert await stored(warehouse, client) == (total, total)
    await until(lambda: copies(connect, client), lambda found: sum(found) == 2 * total)


@services
@pytest.mark.parametrize("dead", [0, 3], ids=["1-1", "2-2"])
async def test_with_one_replica_down_inserts_go_on_and_it_catches_up(cluster, connect, client, dead):
    cluster.nodes[dead].kill()
    warehouse = connect(dead)
    for name in "abc":
        assert await insert(warehouse, batch(client, name)) < 10
    assert await stored(connect(dead + 1), client) == (150, 150)
    cluster.nodes[dead].start()
    assert await stored(connect(dead), client) == (150, 150)  # asked at once, and of the one that lacks them
    await until(lambda: copies(connect, client), lambda found: sum(found) == 300)


@services
async def test_with_a_whole_shard_down_a_batch_waits_and_is_then_stored_once(cluster, connect, client):
    for node in cluster.nodes[2:]:
        node.kill()
    warehouse, rows = connect(), batch(client, "a")
    for _ in range(3):  # the other shard takes its part each time
        with pytest.raises(WarehouseAway):
            await warehouse.insert("clicks", columns(CLICK), encoded(rows), "t")
    for node in cluster.nodes[2:]:
        node.start()
    await insert(warehouse, rows)
    assert await stored(warehouse, client) == (50, 50)


@services
@pytest.mark.parametrize("shards", [[0], [0, 2]], ids=["one", "the first of each shard"])
async def test_a_server_without_zookeeper_answers_and_is_left_alone(cluster, connect, client, shards):
    whole = {}
    for n in shards:
        config = cluster.nodes[n].directory / "config.xml"
        whole[config] = config.read_text()
        cluster.nodes[n].kill()
        cut = re.sub(r"<(zookeeper|distributed_ddl)>.*</\1>", "", whole[config], flags=re.DOTALL)
        config.write_text(cut)
        cluster.nodes[n].start()
    try:
        warehouse = connect(shards[0])
        with pytest.raises(WarehouseAway):
            await warehouse.insert("clicks", columns(CLICK), encoded(batch(client, "a")), "t")
        assert await insert(warehouse, batch(client, "a")) < 40  # others choose its shard's replica at random
    finally:
        for n, (config, text) in zip(shards, whole.items(), strict=True):
            cluster.nodes[n].kill()
            config.write_text(text)
            cluster.nodes[n].start()
    assert await stored(connect(shards[0]), client) == (50, 50)


@services
async def test_zookeeper_may_be_restarted(cluster, connect, client):
    warehouse, total = connect(), 0
    for name in "ab":
        inserting = asyncio.create_task(insert(warehouse, batch(client, name)))
        cluster.zookeeper.kill()
        await asyncio.sleep(0.1)
        cluster.zookeeper.start()
        await inserting
        total += 50
    assert await stored(warehouse, client) == (total, total)


class Thief:
    """A way to ZooKeeper that loses a registration of new rows, when told to, and breaks the connection as it does so."""

    def __init__(self, target):
        self.target, self.waits = target, False
        self.listener, self.ends = socket.create_server(("127.0.0.1", 0)), []
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                self.ends.append(near)
                far = socket.create_connection(("127.0.0.1", self.target))
                self.ends.append(far)
                for ends in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self.pass_on, args=ends, daemon=True).start()

    def pass_on(self, source, sink, there):
        with suppress(OSError):
            while data := source.recv(1 << 20):
                if there and self.waits and b"/blocks/" in data and b"/log/log-" in data:
                    self.waits = False
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        for end in (self.listener, *self.ends):
            end.close()


@services
async def test_rows_that_a_replica_shows_twice_are_mended(cluster, connect, client, monkeypatch):
    thief, node = Thief(cluster.zookeeper.port), cluster.nodes[0]
    config = node.directory / "config.xml"
    text = config.read_text()
    node.kill()
    config.write_text(text.replace(f"<port>{cluster.zookeeper.port}<", f"<port>{thief.port}<"))
    node.start()
    try:
        thief.waits, total = True, 0

        async def stolen():  # once the node takes inserts again
            nonlocal total
            await insert(connect(), batch(client, f"{total}"))
            total += 50
            return not thief.waits

        await until(stolen, bool)
        warehouse = connect()
        await warehouse.connect()
        local = f"SELECT count() > uniqExact(event_id) AS twice FROM clicks_local WHERE client = '{client}'"

        async def twice():
            try:
                return await connect(hosts=1).query(local, {})
            except WarehouseAway:  # a table that is being restarted isn't there
                return []

        await until(twice, lambda rows: rows == [{"twice": 1}])
        monkeypatch.setattr(clickhouse, "_ORPHAN_S", 1)
        monkeypatch.setattr(module, "_MENDING_S", 0.2)
        mending = asyncio.create_task(warehouse.mend())
        await until(twice, lambda rows: rows == [{"twice": 0}])
        await cancel(mending)
        assert await stored(warehouse, client) == (total, total)
    finally:
        node.kill()
        config.write_text(text)
        node.start()
        thief.close()


# ---- reports


@services
async def test_reports_agree_with_the_model(cluster, connect, clock):
    warehouse, rnd = connect(1, "reports"), random.Random("cluster")
    await begun(cluster, warehouse)
    start = WEEKS["forward"]
    events = random_events(rnd, start)
    await store(warehouse, events, rnd, lambda *batch: again(lambda: warehouse.insert(*batch)))
    readers = [connect(n, "reports") for n in range(4)]
    for reader in readers:  # each for itself: it asks other replicas than the next
        await settled(reader)
    days = {"from": str(start.date()), "to": str(start.date() + dt.timedelta(days=3))}
    for number, (by, tz) in enumerate(itertools.product(BY, ZONES)):
        scope = [Scope.operator(), Scope.client("store"), Scope.partner("ada")][number % 3]
        query = PerformanceQuery.parse({**days, "by": ",".join(by), "tz": tz}, start.date())
        report = await again(partial(Reports(readers[number % 4], clock).performance, scope, query, CLIENTS))
        assert as_model(report["rows"], by) == model(events, scope, query, ZoneInfo(tz)), (by, tz, scope)
        assert as_model(report["totals"], ()) == model(events, scope, replace(query, by=()), ZoneInfo(tz)), (by, tz, scope)


@services
async def test_refusals_are_counted_once_whichever_host_takes_them(connect, client, clock):
    said = {"client": client, "partner": "ada", "what": "click", "consent": "refused gpc"}
    refusals = [record(REFUSAL, f"r{n}", **said) for n in range(50)]
    orders = [record(ORDER, f"o{n}", client=client, order_id=f"o{n}", consent="refused gpc") for n in range(20)]
    query = RefusalsQuery.parse({"client": client}, dt.date(2026, 3, 29))
    for n in range(4):
        warehouse = connect(n)
        await insert(warehouse, refusals, REFUSAL)
        await insert(warehouse, orders, ORDER)
        await settled(warehouse)
        report = await Reports(warehouse, clock).refusals(Scope.operator(), query, CLIENTS)
        assert [(row["partner"], row["what"], row["requests"]) for row in report["rows"]] == [(None, "order", 20), ("ada", "click", 50)]


@services
async def test_pages_of_orders_hold_each_order_once(connect, client, clock):
    warehouse = connect()
    for name in ("seen", "seen again"):  # the same orders, which come from elsewhere as well
        await insert(warehouse, batch(client, name, 25, ORDER), ORDER)
    await settled(warehouse)
    listed, params = [], {"limit": "4", "client": client}
    while params:
        page = await Reports(warehouse, clock).orders(Scope.operator(), OrdersQuery.parse(params, dt.date(2026, 3, 29)))
        listed += [row["order"] for row in page["rows"]]
        params = {"limit": "4", "client": client, "cursor": page["next"]} if page["next"] else None
    assert sorted(listed) == sorted(f"o{n}" for n in range(25))
    (kept,) = await warehouse.query("SELECT min(observations) AS n FROM orders WHERE client = {c:String}", {"c": client})
    assert kept == {"n": 2}


@services
async def test_what_an_operator_types_uses_the_plain_names(connect, client):
    warehouse = connect()
    await insert(warehouse, batch(client, "typed"))
    await settled(warehouse)
    sql = f"SELECT uniqExact(event_id) AS n FROM clicks WHERE client = '{client}' AND event_id IN (SELECT event_id FROM impressions)"
    assert await warehouse.read_only(sql) == [{"n": 0}]
    assert await warehouse.read_only(f"SELECT count() AS n FROM clicks WHERE client = '{client}'") == [{"n": 50}]


# ---- what is sent

# What servers of a cluster say of each other: end of file, host name, socket, network, no ZooKeeper, read-only, ZooKeeper, no
# connection to a shard, replicas, quorum, unknown status, and a cluster or a macro that a configuration lacks.
@pytest.mark.parametrize("code", [3, 32, 33, 139, 170, 198, 209, 210, 225, 242, 244, 279, 285, 286, 319, 425, 999, 1000])
def test_a_failure_between_servers_is_tried_again_and_blames_no_row(code):
    assert isinstance(module.failure(code, "Received from ch2:9000. DB::Exception: …", "ch1:9000"), WarehouseAway)
    assert code not in module._ROWS_TO_BLAME


@services
async def test_a_month_past_its_time_goes_from_every_shard_and_replica_whoever_leads_it(connect, client):
    warehouse = connect()
    for year in (2020, 2026):
        at_ms = int(dt.datetime(year, 1, 31, tzinfo=dt.UTC).timestamp()) * 1000
        rows = [record(CLICK, f"{client}-{year}-{n}", client=client, at_ms=at_ms) for n in range(50)]
        await insert(warehouse, rows, token=f"{client}-{year}")
    assert await stored(warehouse, client) == (100, 100)
    kept = dict.fromkeys(retention.ages()) | {"clicks": 30}
    assert await again(lambda: retention.drop_past(warehouse, kept, dt.date(2020, 3, 3))) == [
        "ALTER TABLE pixeld.clicks_local ON CLUSTER 'pixels' DELETE WHERE toYYYYMM(at) = 202001"
    ]
    await until(lambda: copies(connect, client), lambda found: sum(found) == 100)  # two of each of 50
    assert await stored(warehouse, client) == (50, 50)
    assert await retention.drop_past(warehouse, kept, dt.date(2020, 3, 3)) == []
    assert NEW.drops_partitions and not OLD.drops_partitions


def test_a_cluster_is_exact_with_tokens_or_without_and_has_roll_ups_only_with_them():
    assert (OLD.exactly_once, OLD.roll_ups) == (True, False)
    assert (NEW.exactly_once, NEW.roll_ups) == (True, True)
    assert (Features.of("18.16.1").exactly_once, Features.of("18.16.1").roll_ups) == (False, True)


def test_a_cluster_is_sent_no_long_value():
    assert not NEW.scalars and Features.of("26.9.2.1").scalars


@pytest.mark.parametrize("features", [OLD, NEW], ids=["18.16", "26.9"])
def test_every_statement_names_the_cluster_and_no_placeholder_is_left(features):
    statements = [statement for migration in migrations.known() for statement in migration.statements(features)]
    for statement in statements:
        assert " ON CLUSTER 'pixels' " in statement.replace("\n", " ") and "{{" not in statement
        assert "ReplicatedMergeTree('/clickhouse/tables/{shard}/pixeld/" in statement or "MergeTree" not in statement.replace(
            "ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/pixeld/", ""
        )
    assert any("_from_clicks_local ON CLUSTER 'pixels' TO pixeld.traffic_hourly_local" in s for s in statements) is features.roll_ups


def test_an_insert_waits_for_all_shards_under_its_token_where_there_are_tokens():
    for features in (OLD, NEW):
        settings = features.insert_settings("t")
        assert (settings["insert_distributed_sync"], settings["insert_deduplicate"]) == (1, 1)
        assert ("insert_deduplication_token" in settings) is features.insert_tokens


@pytest.mark.parametrize("url", ["/db?cluster=a%20b", "/db?cluster='", "/a-b?cluster=x"])
def test_a_cluster_that_cannot_be_one_is_refused(url):
    with pytest.raises(SettingsError, match="remote_servers"):
        Address.parse(f"clickhouse://host{url}")
    assert Address.parse("clickhouse://host/db?cluster=x-1").cluster == Cluster("x-1", "db")
