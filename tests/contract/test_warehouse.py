"""What both engines of the warehouse promise: the embedded one (26.9) and a server over the wire (Debian's 18.16).

One body for both. Where 18.16 promises less, the test says what it promises instead. The embedded engine has one path a
process at a time, so that a module opens each engine once and every test begins with an empty schema.
"""

import asyncio
import datetime as dt
import errno
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from clickhouse_driver.util.escape import escape_param

from pixeld.domain.events import AFFINITY, CLICK, DECISION, FORGET, IMPRESSION, KINDS, ORDER, REFUSAL
from pixeld.domain.money import to_text
from pixeld.domain.report_rows import MAX_ROWS
from pixeld.domain.reports import Dimension, OrdersQuery, PerformanceQuery, RefusalsQuery, Scope
from pixeld.errors import BadInput, MigrationError, SettingsError, WarehouseAway, WarehouseRefused
from pixeld.storage import clickhouse, migrations, reports, retention
from pixeld.storage.affinities import Affinities
from pixeld.storage.clickhouse import Address, with_literals
from pixeld.storage.engines import open_warehouse
from pixeld.storage.features import Features
from pixeld.storage.reports import Reports
from pixeld.storage.warehouse import _Role, escaped
from tests.conftest import START_MS, require
from tests.fakes import MemoryIntake
from tests.services import clickhouse_server, free_port

NOON_MS = 1_774_785_600_000  # 2026-03-29 12:00 UTC
NOW_S = START_MS // 1000  # the fixture `clock`'s
OLD, NEW = Features.of("18.16.1"), Features.of("26.9.2.1")
HOSTILE = [
    "",
    "'",
    "\\",
    "\\'",
    "' OR 1 = 1 --",
    "\\' OR 1 = 1 --",
    "tab\tline\nreturn\rnul\0bell\x07",
    "\\n\\t\\N\\0\\x41",
    "{scope:String}",
    "{{text}} %s %(scope)s $1 ?",
    "`\"[1, 'a'](b)",
    "日本 \U0001f600 \u2028 é",
    "x" * 5000,
]


@pytest.fixture(scope="module", params=["chdb", pytest.param("server", marks=pytest.mark.services)])
def engine(request, tmp_path_factory):
    """(URL or None, data directory, the server or None)."""
    if request.param == "chdb":
        require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
        yield None, tmp_path_factory.mktemp("embedded"), None
        return
    directory = tmp_path_factory.mktemp("clickhouse")
    with clickhouse_server(directory) as server:
        yield server.url(), directory, server


@pytest.fixture(scope="module")
def opened(engine):
    url, directory, _ = engine
    warehouse = open_warehouse(url, directory)
    asyncio.run(warehouse.connect())
    yield warehouse
    asyncio.run(warehouse.close())


@pytest.fixture
async def empty(opened):
    """A connected warehouse without any table."""
    for row in await opened.query("SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name DESC", {}):
        await opened.command(f"DROP TABLE IF EXISTS `{row['name']}`")
    return opened


@pytest.fixture
async def warehouse(empty):
    """A connected warehouse with the schema, where nothing grows too old: events of these tests are of any age."""
    await migrations.apply(empty)
    if empty.features.ttl:
        tables = "SELECT name FROM system.tables WHERE database = currentDatabase() AND create_table_query LIKE '% TTL %'"
        for row in await empty.query(tables, {}):
            await empty.command(f"ALTER TABLE {row['name']} REMOVE TTL")
    return empty


def columns(kind):
    return (*kind.columns, "event_id")


def record(kind, event_id, **values):
    """A row of `kind`: zeros and empty texts but for `values`."""
    integers = {"at_ms": NOON_MS, "visitor": 0, "clicked_at": 0, "amount_minor": 0, "commission_minor": 0, "locks_at": 0}
    texts = {"client": "shop", "quality": "human", "currency": "EUR"}
    row = {name: integers.get(name, texts.get(name, "")) for name in kind.columns} | values
    assert row.keys() == set(kind.columns)
    return (*row.values(), event_id)


def encoded(rows):
    """As the warehouse takes them. Not by orjson, which has neither integers above 2**64 nor lone surrogates."""
    return [json.dumps(row, separators=(",", ":")).encode() for row in rows]


async def count(warehouse, table):
    return (await warehouse.query(f"SELECT count() AS n FROM {table}", {}))[0]["n"]


# ---- what is past its time


async def test_a_month_past_its_time_is_dropped_also_where_nothing_grows_too_old_by_itself(warehouse):
    months = {f"{year}01": int(dt.datetime(year, 1, 31, tzinfo=dt.UTC).timestamp()) * 1000 for year in (2020, 2026)}
    for kind in (CLICK, ORDER):
        for month, at_ms in months.items():  # one block is of one partition
            row = record(kind, f"{kind.table}-{month}", at_ms=at_ms)
            await warehouse.insert(kind.table, columns(kind), encoded([row]), f"{kind.table}-{month}")
    kept = dict.fromkeys(retention.ages()) | {"clicks": 30}
    assert await retention.drop_past(warehouse, kept, dt.date(2020, 3, 2)) == []
    assert await retention.drop_past(warehouse, kept, dt.date(2020, 3, 3)) == ["ALTER TABLE clicks DROP PARTITION 202001"]
    assert [await count(warehouse, kind.table) for kind in (CLICK, ORDER)] == [1, 2]


# ---- migrations


async def test_migrations_applied_twice_are_applied_once(empty):
    assert await migrations.apply(empty) == migrations.known()
    assert await migrations.apply(empty) == []
    assert await count(empty, "schema_migrations") == len(migrations.known())
    assert all(re.fullmatch(r"\d{4}(-\d\d){2} \d\d(:\d\d){2}", state.applied_at) for state in await migrations.status(empty))


async def test_statements_are_whole_and_what_the_server_knows(empty):
    pending = [state.migration for state in await migrations.status(empty) if state.applied_at is None]
    statements = [statement for migration in pending for statement in migration.statements(empty.features)]
    assert len(statements) == len(migrations.known())
    assert not any("{{" in statement for statement in statements)
    code = re.sub(r"--.*", "", "\n".join(statements))
    assert ("LowCardinality" in code) is empty.features.low_cardinality
    assert ("fsync_after_insert = 1" in code) is empty.features.fsync
    assert await empty.query("SELECT name FROM system.tables WHERE database = currentDatabase()", {}) == []


async def test_two_runs_at_once_do_no_harm(empty, engine):
    other = open_warehouse(*engine[:2])
    try:
        await asyncio.gather(migrations.apply(empty), migrations.apply(other))
        assert await migrations.apply(empty) == []
        assert all(state.applied_at for state in await migrations.status(other))
    finally:
        await other.close()


async def test_a_database_from_a_newer_pixeld_is_refused(warehouse):
    *older, newest = migrations.known()
    with pytest.raises(MigrationError, match=rf"{newest}.*newest is {older[-1].number:04}.*newer pixeld"):
        await migrations.apply(warehouse, older)


async def test_a_changed_file_is_refused(warehouse):
    first, *rest = migrations.known()
    changed = migrations.Migration(first.number, first.name, first.text + " ")
    with pytest.raises(MigrationError, match="0001_schema_migrations was applied with another content"):
        await migrations.apply(warehouse, [changed, *rest])


def test_migrations_are_numbered_without_gaps_and_repeatable():
    known = migrations.known()
    assert [migration.number for migration in known] == list(range(1, len(known) + 1))
    for migration in known:
        body = re.sub(r"--.*", "", migration.text)
        assert body.count(";") == 0 and body.count("CREATE") == body.count("IF NOT EXISTS") == 1, migration


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
async def test_a_table_has_the_columns_of_its_kind(warehouse, kind):
    sql = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
    names = [row["name"] for row in await warehouse.query(sql, {"table": kind.table})]
    derived = ["hour", "events"] if kind is REFUSAL else ["at"]
    assert names == [*kind.columns, "event_id", *derived, *(["order_key", "second_key"] if kind in (ORDER, DECISION) else [])]


async def test_of_refusals_only_their_number_is_kept(warehouse):
    """And where the engine can, not even when a single one was."""
    rows = [(NOON_MS + n, "shop", "blog", what, "refused gpc", f"e-{n}") for n, what in enumerate(["click", "click", "impression"])]
    for _ in range(2):
        await warehouse.insert("refusals", columns(REFUSAL), encoded(rows), "one batch")
    times = 1 if warehouse.features.exactly_once else 2
    sql = "SELECT what, toString(hour) AS hour, sum(events) AS n FROM refusals GROUP BY what, hour ORDER BY what"
    hour = "2026-03-29 12:00:00"
    told = [{"what": "click", "hour": hour, "n": 2 * times}, {"what": "impression", "hour": hour, "n": times}]
    assert await warehouse.query(sql, {}) == told
    await warehouse.command("OPTIMIZE TABLE refusals FINAL")
    assert await warehouse.query(sql, {}) == told
    assert await count(warehouse, "refusals") == 2  # rows
    sql = "SELECT name, default_kind AS kind FROM system.columns WHERE database = currentDatabase() AND table = 'refusals'"
    passing = {row["name"] for row in await warehouse.query(sql, {}) if row["kind"] == "EPHEMERAL"}
    assert passing == ({"at_ms", "event_id"} if warehouse.features.ephemeral else set())


# ---- inserts


async def roll_ups(warehouse):
    """What each of the five roll-ups has counted."""
    sql = "SELECT sum(clicks) AS clicks, sum(impressions) AS impressions, uniqCombinedMerge(12)(visitors) AS visitors FROM "
    grains = [f"traffic_grains WHERE grain = '{who} {when}'" for who in ("client", "partner") for when in ("day", "hour")]
    return [(await warehouse.query(sql + table, {}))[0] for table in ("traffic_hourly", *grains)]


async def test_a_token_twice_is_stored_once_in_tables_and_roll_ups(warehouse):
    clicks = [record(CLICK, f"c{i}", visitor=i % 5) for i in range(10)]
    views = [record(IMPRESSION, f"i{i}", visitor=100 + i) for i in range(7)]
    for _ in range(2):
        await warehouse.insert("clicks", columns(CLICK), encoded(clicks), "one batch")
        await warehouse.insert("impressions", columns(IMPRESSION), encoded(views), "one batch")
    times = 1 if warehouse.features.insert_tokens else 2  # 18.16 knows no tokens: at least once
    assert await count(warehouse, "clicks") == 10 * times
    expected = {"clicks": 10 * times, "impressions": 7 * times, "visitors": 5}
    assert await roll_ups(warehouse) == [expected] * 5


async def test_the_same_rows_with_another_token_are_stored_again(warehouse):
    rows = [record(CLICK, f"c{i}", visitor=i) for i in range(10)]
    await warehouse.insert("clicks", columns(CLICK), encoded(rows), "first")
    await warehouse.insert("clicks", columns(CLICK), encoded(rows), "second")
    assert await count(warehouse, "clicks") == 20
    assert [roll_up["clicks"] for roll_up in await roll_ups(warehouse)] == [20] * 5


async def test_a_large_batch_is_one_part_and_repeats_exactly(warehouse):
    # More groups than max_block_size (65,409), so that the roll-up's own blocks would be split, and parsed in several threads.
    rows = [record(CLICK, f"c{i}", visitor=i, language=f"l{i}") for i in range(70_000)]
    for _ in range(2):
        await warehouse.insert("clicks", columns(CLICK), encoded(rows), "large")
    times = 1 if warehouse.features.insert_tokens else 2
    assert await count(warehouse, "clicks") == 70_000 * times
    assert [roll_up["clicks"] for roll_up in await roll_ups(warehouse)] == [70_000 * times] * 5
    parts = "SELECT count() AS n FROM system.parts WHERE database = currentDatabase() AND table = 'clicks' AND level = 0"
    assert (await warehouse.query(parts, {}))[0]["n"] == times


async def test_no_rows_are_no_insert(warehouse):
    await warehouse.insert("clicks", columns(CLICK), encoded([]), "nothing")
    assert await count(warehouse, "clicks") == 0


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (CLICK, "at_ms", "noon"),
        (CLICK, "at_ms", 1.5),
        (CLICK, "at_ms", -1),
        (CLICK, "at_ms", 1000 * 2**32),
        (CLICK, "at_ms", None),
        (CLICK, "visitor", 2**64),
        (CLICK, "visitor", True),
        (CLICK, "visitor", None),
        (CLICK, "visitor", []),
        (CLICK, "s1", None),
        (CLICK, "s1", 5),
        (CLICK, "s1", {"a": 1}),
        (CLICK, "s1", "\ud800"),
        (ORDER, "clicked_at", 2**32),
        (ORDER, "clicked_at", -1),
        (ORDER, "amount_minor", 2.5),
        (ORDER, "amount_minor", 2**63),
    ],
)
async def test_a_poison_row_is_refused_with_all_of_its_batch(warehouse, kind, name, value):
    rows = [record(kind, "good"), record(kind, "bad", **{name: value}), record(kind, "good too")]
    with pytest.raises(WarehouseRefused):
        await warehouse.insert(kind.table, columns(kind), encoded(rows), "poison")
    assert await count(warehouse, kind.table) == 0
    await warehouse.insert(kind.table, columns(kind), encoded([rows[0], rows[2]]), "without it")
    assert await count(warehouse, kind.table) == 2


@pytest.mark.parametrize("change", [lambda row: row[:-1], lambda row: (*row, "")], ids=["too short", "too long"])
@pytest.mark.parametrize("others", [0, 1])
async def test_a_row_of_another_length_is_refused(warehouse, change, others):
    rows = [record(CLICK, "good")] * others + [change(record(CLICK, "bad"))]
    with pytest.raises(WarehouseRefused, match="values for|one length|Cannot parse"):
        await warehouse.insert("clicks", columns(CLICK), encoded(rows), "poison")


@pytest.mark.parametrize("text", [b"[", b"garbage", b'["o",1,"x]', b"[1]x", b'[1,"\\', b'[1,"\xff"]', b"[1]\n[2]"])
async def test_a_row_that_is_no_array_is_refused(warehouse, text):
    rows = [*encoded([record(CLICK, "good")]), text]
    with pytest.raises(WarehouseRefused):
        await warehouse.insert("clicks", columns(CLICK), rows, "poison")
    assert await count(warehouse, "clicks") == 0


async def test_an_integer_in_quotes_is_refused_or_stored_as_that_integer(warehouse):
    with suppress(WarehouseRefused):
        await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c", visitor="18446744073709551615")]), "t")
    assert await warehouse.query("SELECT visitor FROM clicks", {}) in ([], [{"visitor": 2**64 - 1}])


async def test_bounds_of_every_integer_are_stored_as_they_are(warehouse):
    low = record(ORDER, "low", at_ms=0, clicked_at=0, amount_minor=-(2**63))
    high = record(ORDER, "high", at_ms=1000 * 2**32 - 1, clicked_at=2**32 - 1, amount_minor=2**63 - 1)
    await warehouse.insert("order_events", columns(ORDER), encoded([low]), "low")
    await warehouse.insert("order_events", columns(ORDER), encoded([high]), "high")
    rows = await warehouse.query(f"SELECT {', '.join(columns(ORDER))} FROM order_events ORDER BY at_ms", {})
    assert [tuple(row.values()) for row in rows] == [low, high]


async def test_a_missing_table_is_the_set_up_and_not_the_rows(empty):
    with pytest.raises(WarehouseAway, match="clicks"):  # refused rows end in the dead-letter stream; these must not
        await empty.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "early")


# ---- queries


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_a_hostile_text_is_a_value(warehouse, text):
    rows = await warehouse.query("SELECT {a:String} AS a, {b:String} AS b, {n:Int64} AS n", {"a": text, "b": "b", "n": -5})
    assert rows == [{"a": text, "b": "b", "n": -5}]
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c", s1=text)]), f"token {text}")
    assert await warehouse.query("SELECT s1 FROM clicks WHERE s1 = {s1:String}", {"s1": text}) == [{"s1": text}]


@pytest.mark.parametrize("engine", ["chdb"], indirect=True)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_the_drivers_parameters_mean_the_same_to_a_server_that_has_them(warehouse, text):
    """There is no such server here: the engine reads the driver's literal, and then takes what it read as a parameter."""
    sent = await warehouse.query(f"SELECT {escape_param(text, None, for_server=True)} AS sent", {})
    read = "SELECT {text:String} AS read"
    connection = warehouse._query._link._connection
    assert await warehouse.query("SELECT {text:String} AS read", {"text": text}) == [{"read": text}]
    raw = connection.query(read, "RawBLOB", params={"text": sent[0]["sent"]}).bytes()
    assert raw.decode() == text


async def test_a_bad_statement_is_refused_and_the_next_one_works(warehouse):
    with pytest.raises(WarehouseRefused, match="yntax error") as caught:
        await warehouse.query("SELEC 1", {})
    assert "\n" not in str(caught.value)
    assert await warehouse.query("SELECT 1 AS one", {}) == [{"one": 1}]


async def test_values_are_what_json_has(warehouse):
    sql = (
        "SELECT toDateTime(86400, 'UTC') AS time, toDate('1970-01-02') AS day, toUInt64(18446744073709551615) AS big, "
        "[1, 2] AS list, CAST(NULL AS Nullable(String)) AS nothing"
    )
    time = "1970-01-02 00:00:00"
    assert await warehouse.query(sql, {}) == [
        {"time": time, "day": time[:10], "big": 2**64 - 1, "list": [1, 2], "nothing": None}
    ]


async def test_a_slow_report_does_not_hold_up_an_insert(warehouse):
    report = asyncio.create_task(warehouse.query("SELECT sleep(3) AS slept", {}))  # no engine sleeps longer
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "meanwhile")
    assert not report.done()
    assert await report == [{"slept": 0}]


async def test_a_closed_warehouse_says_so(engine):
    other = open_warehouse(*engine[:2])
    with pytest.raises(WarehouseAway, match="not been connected"):
        _ = other.features
    await other.connect()
    assert other.version == other.features.version
    await other.close()
    await other.close()
    with pytest.raises(WarehouseAway, match="closed"):
        await other.query("SELECT 1", {})


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT {a:String}", {}),
        ("SELECT {a:String}", {"a": 1}),
        ("SELECT {a:UInt8}", {"a": 256}),
        ("SELECT {a:UInt32}", {"a": -1}),
        ("SELECT {a:Int8}", {"a": 128}),
        ("SELECT {a:UInt32}", {"a": "1"}),
        ("SELECT {a:Identifier}", {"a": "clicks"}),
    ],
)
def test_a_literal_is_of_its_declared_type(sql, params):
    with pytest.raises(WarehouseRefused, match="parameter a"):
        with_literals(sql, params)


def test_a_value_that_looks_like_a_parameter_stays_a_value():
    assert with_literals("{a:String} {b:Int8}", {"a": "{b:Int8}", "b": -128}) == "'{b:Int8}' -128"
    assert escaped("'\\\n") == r"\'\\\n"


# ---- connections


@pytest.mark.parametrize(
    ("version", "has"),
    [("18.16.1", 0), ("20.2.1", 0), ("21.2.9", 2), ("22.2.1", 3), ("22.3.2", 4), ("22.8.1", 5), ("24.2.1", 5), ("24.3.1", 5), ("26.9.2.1", 5)],
)
def test_features_follow_the_version(version, has):
    features = Features.of(version)
    flags = ("low_cardinality", "ttl", "fsync", "insert_tokens", "server_parameters")
    assert sum(getattr(features, flag) for flag in flags) == has
    assert features.scalars == features.logins == (version in ("24.3.1", "26.9.2.1"))


def test_every_insert_has_its_settings_where_the_server_knows_them():
    assert OLD.insert_settings("t") == {"insert_deduplicate": 1}
    settings = NEW.insert_settings("t")
    assert settings["insert_deduplication_token"] == "t"
    assert (settings["async_insert"], settings["insert_deduplicate"]) == (0, 1)
    assert settings["deduplicate_blocks_in_dependent_materialized_views"] == 1


def test_a_url_is_read_and_its_password_is_never_shown():
    address = Address.parse("clickhouse://us%40er:p%2Fw@a:1,[::1]:2,c/data?secure=1&verify=0&timeout=5")
    assert address.hosts == (("a", 1), ("::1", 2), ("c", 9440))
    assert (address.user, address.password, address.database) == ("us@er", "p/w", "data")
    assert (address.secure, address.verify, address.timeout_s) == (True, False, 5)
    assert "p/w" not in repr(address)
    plain = Address.parse("clickhouse://localhost")
    assert (plain.hosts, plain.user, plain.database) == ((("localhost", 9000),), "default", "default")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://user:s3cret@host/db", "must look like clickhouse://"),
        ("clickhouse://user:s3cret@/db", "must name a host"),
        ("clickhouse://user:s3cret@host:port/db", "must name a host"),
        ("clickhouse://user:s3cret@host/db?secur=1", "did you mean 'secure'"),
        ("clickhouse://user:s3cret@host/db?timeout=soon", "number of seconds"),
        ("clickhouse://user:s3cret@host/db?timeout=0", "number of seconds"),
        ("clickhouse://user:s3cret@host/db?timeout=²", "number of seconds"),
        ("clickhouse://user:s3cret@host/db?secure=true", "option secure must be 0 or 1"),
        ("clickhouse://user:s3cret@host/db?verify=true", "option verify must be 0 or 1"),
        ("clickhouse://user:s3cret@host/db?verify", "option verify must be 0 or 1"),
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url, says):
    with pytest.raises(SettingsError, match=says) as caught:
        open_warehouse(url, Path())
    assert "s3cret" not in str(caught.value)


async def test_an_unreachable_server_is_named_without_the_password():
    port, other = free_port(), free_port()
    warehouse = open_warehouse(f"clickhouse://user:s3cret@127.0.0.1:{port},localhost:{other}/db", Path())
    for attempt in (warehouse.connect(), warehouse.query("SELECT 1", {})):
        with pytest.raises(WarehouseAway, match=rf"127\.0\.0\.1:{port} .*refused.*localhost:{other} ") as caught:
            await attempt
        assert "s3cret" not in str(caught.value) + repr(warehouse)
    await warehouse.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["hangs up", "is no ClickHouse"])
async def test_a_peer_that_is_no_server_is_away(answer):
    async def peer(_, writer):
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    warehouse = open_warehouse(f"clickhouse://127.0.0.1:{port}/db", Path())
    with pytest.raises(WarehouseAway, match=str(port)):
        await warehouse.connect()
    await warehouse.close()
    listener.close()
    await listener.wait_closed()


async def test_a_server_that_never_answers_is_away_after_the_timeout():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        warehouse = open_warehouse(f"clickhouse://127.0.0.1:{silent.getsockname()[1]}/db?timeout=1", Path())
        with pytest.raises(WarehouseAway, match="does not answer: .*timed out"):
            await warehouse.connect()
        await warehouse.close()


@pytest.mark.parametrize("engine", ["server"], indirect=True)
class TestServer:
    async def test_the_next_host_is_tried(self, engine):
        warehouse = open_warehouse(engine[2].url(first=f"127.0.0.1:{free_port()}"), Path())
        assert await warehouse.query("SELECT 1 AS one", {}) == [{"one": 1}]
        await warehouse.close()

    async def test_a_missing_database_is_made(self, engine, opened):
        await opened.command("DROP DATABASE IF EXISTS fresh")
        warehouse = open_warehouse(engine[2].url("fresh"), Path())
        await warehouse.connect()
        assert await warehouse.query("SELECT currentDatabase() AS name", {}) == [{"name": "fresh"}]
        await warehouse.close()
        await opened.command("DROP DATABASE fresh")

    async def test_a_wrong_password_is_away_and_not_told(self, engine):
        url = engine[0].replace(engine[2].password, "s3cret")
        warehouse = open_warehouse(url, Path())
        with pytest.raises(WarehouseAway, match="assword") as caught:
            await warehouse.connect()
        assert "s3cret" not in str(caught.value)
        await warehouse.close()

    async def test_a_killed_server_is_away_until_it_is_back(self, engine, warehouse):
        server = engine[2]
        await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "before")]), "1")
        server.kill()
        try:
            for _ in range(2):
                with pytest.raises(WarehouseAway, match=str(server.port)):
                    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "during")]), "2")
                with pytest.raises(WarehouseAway, match=str(server.port)):
                    await warehouse.query("SELECT 1", {})
        finally:
            server.start()
        await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "after")]), "3")
        assert await warehouse.query("SELECT 1 AS one", {}) == [{"one": 1}]
        assert {row["event_id"] for row in await warehouse.query("SELECT event_id FROM clicks", {})} >= {"after"}

    async def test_all_who_ask_a_server_that_hangs_are_told_soon(self, engine, warehouse):
        server = engine[2]
        await warehouse.query("SELECT 1", {})  # connected
        server.send(signal.SIGSTOP)
        try:
            async with asyncio.timeout(40):  # 13 s: for a ping and two greetings; 60 s and more each, if one by one
                asked = [warehouse.query("SELECT 1", {}) for _ in range(12)]
                answers = await asyncio.gather(*asked, warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "1"), return_exceptions=True)
        finally:
            server.send(signal.SIGCONT)
        assert {type(answer) for answer in answers} == {WarehouseAway}
        assert all(f"127.0.0.1:{server.port} does not answer: timed out; it hangs" in str(answer) for answer in answers)
        assert await warehouse.query("SELECT 1 AS one", {}) == [{"one": 1}]

    async def test_a_query_may_take_long_and_not_be_silent(self, engine, warehouse, monkeypatch):
        server, slow = engine[2], "SELECT sum(sleep(1)) AS slept FROM (SELECT number FROM system.numbers LIMIT {}) SETTINGS max_block_size = 1"
        monkeypatch.setattr(clickhouse, "_SILENCE_SECONDS", 4)
        assert await warehouse.query(slow.format(6), {}) == [{"slept": 0}]
        asked = asyncio.create_task(warehouse.query(slow.format(25), {}))
        async with asyncio.timeout(20):
            while not await warehouse.everywhere("SELECT query FROM system.processes WHERE query LIKE '%LIMIT 25%' AND query NOT LIKE '%processes%'"):
                await asyncio.sleep(0.05)
        server.send(signal.SIGSTOP)
        try:
            async with asyncio.timeout(40):
                with pytest.raises(WarehouseAway, match="timed out; it hangs"):
                    await asked
        finally:
            server.send(signal.SIGCONT)
        await warehouse.command("KILL QUERY WHERE query LIKE '%LIMIT 25%' ASYNC")  # else the server ends only with it


# ---- the embedded engine in its process


def test_without_chdb_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "chdb", None)
    monkeypatch.delitem(sys.modules, "chdb._chdb", raising=False)
    with pytest.raises(WarehouseAway, match=r"pip install 'pixeld\[embedded\]'"):
        open_warehouse(None, tmp_path)


def test_a_directory_that_the_engine_would_misread_is_refused(tmp_path):
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    with pytest.raises(SettingsError, match="question mark"):
        open_warehouse(None, tmp_path / "what?")


_EMBEDDED = """
import asyncio, os, signal, sys
from pathlib import Path

caught = []
signal.signal(signal.SIGTERM, lambda *_: caught.append("term"))
signal.signal(signal.SIGINT, lambda *_: caught.append("int"))
before = os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, [])

from pixeld.storage.engines import open_warehouse

async def main():
    warehouse = open_warehouse(None, Path(sys.argv[1]))
    await warehouse.connect()
    os.kill(os.getpid(), signal.SIGTERM)
    await warehouse.close()

assert not {"chdb", "clickhouse_driver"} & sys.modules.keys()
asyncio.run(main())
os.kill(os.getpid(), signal.SIGINT)
assert caught == ["term", "int"], caught
assert before == (os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, [])), before
handled = next(int(line.split()[1], 16) for line in open("/proc/self/status") if line.startswith("SigCgt"))
assert not handled & (1 << signal.SIGSEGV - 1 | 1 << signal.SIGTSTP - 1), hex(handled)
assert not {"pandas", "pyarrow", "numpy", "clickhouse_driver"} & sys.modules.keys()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_engine_leaves_signals_directory_and_modules_alone(tmp_path):
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _EMBEDDED, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", ["chdb"], indirect=True)
async def test_a_data_directory_in_use_is_away(engine, opened):
    code = (
        "import asyncio, sys; from pathlib import Path; from pixeld.storage.engines import open_warehouse; "
        "asyncio.run(open_warehouse(None, Path(sys.argv[1])).connect())"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(engine[1])),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert b"WarehouseAway: the embedded ClickHouse engine cannot open" in stderr and b"another pixeld" in stderr


# ---- the view `orders`


def seen(minute, partner="", amount=100, currency="EUR", event_id=None, **values):
    """One observation of an order."""
    return (event_id or f"n-1-{minute}-{partner}-{amount}"), {
        "at_ms": NOON_MS + minute * 60_000,
        "partner": partner,
        "amount_minor": amount,
        "currency": currency,
        "click_id": f"click of {partner}" if partner else "",
        "method": "click" if partner else "",
        **values,
    }


ORDERS = {
    "one observation stands": ([seen(0, "ada")], (0, "ada", 100, False, 1)),
    "a reload is the same order": ([seen(0, "ada"), seen(1, "ada"), seen(2, "ada")], (0, "ada", 100, False, 3)),
    "an event that was stored twice counts once": ([seen(0, "ada"), seen(0, "ada")], (0, "ada", 100, False, 1)),
    "the first one stands if none is attributed": ([seen(0), seen(1), seen(2)], (0, "", 100, False, 3)),
    "the first attributed one stands": ([seen(0), seen(1, "ada"), seen(2, "ada")], (1, "ada", 100, False, 3)),
    "a later unattributed one changes nothing": ([seen(0, "ada"), seen(1), seen(2)], (0, "ada", 100, False, 3)),
    "another partner later is a conflict": ([seen(0, "ada"), seen(1, "bob"), seen(2)], (0, "ada", 100, True, 3)),
    "another amount is a conflict": ([seen(0, "ada"), seen(1, "ada", 101)], (0, "ada", 100, True, 2)),
    "another amount before the attributed one, too": ([seen(0, "", 99), seen(1, "ada")], (1, "ada", 100, True, 2)),
    "another currency is a conflict": ([seen(0, "ada"), seen(1, "ada", 100, "USD")], (0, "ada", 100, True, 2)),
    "another coupon or customer is none": (
        [seen(0, "ada", coupon="A"), seen(1, "ada", coupon="B", customer="new", event_id="other")],
        (0, "ada", 100, False, 2),
    ),
    "at one time the smaller event id stands": (
        [seen(0, "bob", event_id="n-1-1-2"), seen(0, "ada", event_id="n-1-1-1"), seen(0, event_id="n-1-1-0")],
        (0, "ada", 100, True, 3),
    ),
    "milliseconds of another length sort as numbers": (
        [seen(0, "ada", at_ms=NOON_MS), seen(1, "bob", at_ms=999), seen(2, "cyd", at_ms=10_000)],
        (None, "bob", 100, True, 3),
    ),
}


@pytest.mark.parametrize(("observations", "expected"), ORDERS.values(), ids=ORDERS.keys())
async def test_one_order_in_every_order_of_arrival(warehouse, observations, expected):
    permutations = list(itertools.permutations(observations))
    for step in range(len(observations)):  # one insert, hence one part, for each arrival; an order id for each permutation
        rows = [
            record(ORDER, event_id, order_id=f"o{number}", **values)
            for number, permutation in enumerate(permutations)
            for event_id, values in [permutation[step]]
        ]
        for month, part in itertools.groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0] > NOON_MS / 2):
            await warehouse.insert("order_events", columns(ORDER), encoded(list(part)), f"{step}-{month}")
    minute, partner, amount, conflict, times = expected
    rows = await warehouse.query("SELECT * FROM orders ORDER BY order_id", {})
    assert sorted(row["order_id"] for row in rows) == sorted(f"o{number}" for number in range(len(permutations)))
    for row in rows:
        assert (row["partner"], row["amount_minor"], bool(row["conflict"]), row["observations"]) == (
            partner,
            amount,
            conflict,
            times,
        )
        assert row["click_id"] == (f"click of {partner}" if partner else "")
        if minute is not None:
            assert row["at_ms"] == NOON_MS + minute * 60_000
            assert row["ordered_at"] == f"2026-03-29 12:{minute:02}:00"


async def test_an_order_id_belongs_to_its_client(warehouse):
    rows = [record(ORDER, client, client=client, order_id="1", partner="ada", amount_minor=5) for client in ("shop", "store")]
    await warehouse.insert("order_events", columns(ORDER), encoded(rows), "both")
    found = await warehouse.query("SELECT client, conflict, observations FROM orders ORDER BY client", {})
    assert [tuple(row.values()) for row in found] == [("shop", 0, 1), ("store", 0, 1)]


@pytest.mark.parametrize("engine", ["chdb"], indirect=True)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM orders WHERE client = 'shop'",
        "SELECT count() FROM orders WHERE ({scope:String} = 'operator' OR ({scope:String} = 'client' AND client = "
        "{scope_id:String}) OR ({scope:String} = 'partner' AND partner = {scope_id:String}))",
    ],
    ids=["client", "scope"],
)
async def test_the_client_reaches_the_primary_key_below_the_view(warehouse, sql):
    await warehouse.insert("order_events", columns(ORDER), encoded([record(ORDER, "o", order_id="1")]), "t")
    plan = await warehouse.query(f"EXPLAIN indexes = 1 {sql}", {"scope": "client", "scope_id": "shop"})
    text = " ".join(" ".join(row["explain"].split()) for row in plan)
    assert re.search(r"PrimaryKey Keys: client Condition: \(client in \['shop', 'shop'\]\)", text), text


@pytest.mark.parametrize("engine", ["chdb"], indirect=True)
@pytest.mark.parametrize(
    ("scope", "filters", "condition"),
    [
        (Scope.client("shop"), {}, r"\(client in \['shop', 'shop'\]\)"),
        (Scope.operator(), {"client": "shop"}, r"\(client in \['shop', 'shop'\]\)"),
        (Scope.operator(), {}, r"\(grain in \['client day', 'client day'\]\)"),
        (Scope.partner("ada"), {}, r"\(grain in \['partner day', 'partner day'\]\)"),
    ],
    ids=["a client", "an operator's one client", "an operator", "a partner"],
)
async def test_a_report_reads_the_rows_of_one_grain_and_client(warehouse, monkeypatch, scope, filters, condition, clock):
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "t")
    asked, query = [], warehouse.query
    monkeypatch.setattr(warehouse, "query", lambda sql, params: asked.append((sql, params)) or query(sql, params))
    parsed = PerformanceQuery.parse({"to": "2026-03-29", "tz": "UTC", **filters}, dt.date(2026, 3, 29))
    await Reports(warehouse, clock).performance(scope, parsed, CLIENTS)
    ((sql, params),) = [(sql, params) for sql, params in asked if "FROM traffic_grains" in sql]
    plan = await query(f"EXPLAIN indexes = 1 {sql}", params)
    text = " ".join(" ".join(row["explain"].split()) for row in plan)
    assert re.search(r"PrimaryKey Keys: grain quality .*" + condition, text), text


@pytest.mark.parametrize("engine", ["chdb"], indirect=True)
@pytest.mark.parametrize(("by", "times"), [("day", 4), ("s1", 6)], ids=["orders", "orders, and their clicks"])
async def test_a_report_looks_for_repeated_orders_once(warehouse, clock, by, times):
    """The keys within the days, those seen twice among them, and one look each at those seen once and those seen twice."""
    rows = [record(ORDER, str(n), order_id=str(n // 2), partner="ada", at_ms=clock()) for n in range(1000)]
    await warehouse.insert("order_events", columns(ORDER), encoded(rows), "t")

    async def read():
        (found,) = await warehouse.query("SELECT sum(value) AS rows FROM system.events WHERE event = 'SelectedRows'", {})
        return int(found["rows"])

    before, today = await read(), dt.datetime.fromtimestamp(clock() / 1000, dt.UTC).date()
    found = await Reports(warehouse, clock).performance(Scope.operator(), PerformanceQuery.parse({"by": by}, today), CLIENTS)
    assert [row["orders"] for row in found["totals"]] == [500]
    assert (await read() - before) // len(rows) == times  # the rest is what `read` reads


async def test_a_report_connects_by_itself_and_says_whom_it_asked_in_vain(clock):
    nobody = open_warehouse("clickhouse://127.0.0.1:1/pixeld", Path())
    with pytest.raises(WarehouseAway, match="ClickHouse at 127.0.0.1:1 does not answer"):
        await Reports(nobody, clock).performance(Scope.operator(), PerformanceQuery.parse({}, dt.date(2026, 3, 29)), CLIENTS)
    await nobody.close()


# ---- reports, against a model that shares nothing with them but the rules

CLIENTS = {"shop": ("EUR", "Europe/Berlin"), "store": ("USD", "America/New_York"), "tokyo": ("JPY", "Asia/Tokyo")}
ZONES = ("UTC", "Asia/Kolkata", "America/New_York")
BY = [
    (),
    ("day",),
    ("month", "client"),
    ("hour",),
    ("hour", "partner"),
    ("client", "partner", "day"),
    ("partner", "quality"),
    ("country", "device", "browser", "os", "language", "quality"),
    ("day", "country"),
    ("s1", "s5"),
    ("partner", "creative", "day"),
    ("quality", "s2"),
]
# Around the nights in which New York's clocks go forward (2026-03-08 07:00 UTC) and back (2026-11-01 06:00 UTC).
WEEKS = {"forward": dt.datetime(2026, 3, 6, tzinfo=dt.UTC), "back": dt.datetime(2026, 10, 31, tzinfo=dt.UTC)}


def visitor(values, person):
    """The number of the `person`th visitor: another one for each client and each day of UTC, as `tracking.audience` makes it."""
    client, day = values["client"], values["at_ms"] // 86_400_000
    if client == "shop" and person < 2 and dt.date(1970, 1, 1) + dt.timedelta(days=day) in (dt.date(2026, 3, 7), dt.date(2026, 11, 1)):
        return (0, 2**64 - 1)[person]
    return int.from_bytes(blake2b(f"{client} {day} {person}".encode(), digest_size=8).digest())


def random_events(rnd, start):
    """(kind, values) of a week: few distinct values, so that everything meets everything."""
    events, clicks = [], []
    for number in range(600):
        audience = {
            "country": rnd.choice(["DE", "US", ""]),
            "device": rnd.choice(["phone", "desktop"]),
            "browser": rnd.choice(["chrome", "safari"]),
            "os": rnd.choice(["ios", "android"]),
            "language": rnd.choice(["de", "en"]),
        }
        base = {
            "at_ms": int(start.timestamp() * 1000) + rnd.randrange(5 * 86_400_000),
            "client": rnd.choice([*CLIENTS, "unknown"]),
            "partner": rnd.choice(["ada", "bob", "cyd"]),
            "quality": rnd.choice(["human", "human", "bot", "not_a_member"]),
            **audience,
        }
        kind = rnd.choice([CLICK, CLICK, IMPRESSION, ORDER])
        if kind is not ORDER:
            base |= {
                "visitor": visitor(base, rnd.randrange(40)),
                "creative": rnd.choice(["", "banner"]),
                "partner_click_id": f"p{number}",
                **{name: rnd.choice(["", "x", "ü'"]) for name in ("s1", "s2", "s3", "s4", "s5")},
            }
            if kind is CLICK:
                base["click_id"] = f"k{number}" if base["quality"] == "human" else ""
                clicks.append(base)
        else:
            earned = rnd.choice([click for click in clicks if click["click_id"]] or [None]) if rnd.random() < 0.7 else None
            if earned:
                base |= {name: earned[name] for name in ("client", "partner", "click_id")}
                base |= {
                    "clicked_at": earned["at_ms"] // 1000,
                    "method": rnd.choice(["click", "cookie"]),
                    "at_ms": earned["at_ms"] + rnd.randrange(86_400_000),
                }
            else:
                base |= {"partner": "", "click_id": "", "clicked_at": 0, "method": ""}
            base |= {
                "order_id": f"o{rnd.randrange(60)}",
                "amount_minor": rnd.choice([0, 5, 1999]),
                "currency": rnd.choice(["EUR", "USD", "JPY"]),
                "coupon": rnd.choice(["", "SPRING"]),
                "customer": rnd.choice(["", "new"]),
                "commission_minor": rnd.choice([0, 1, 250]),
                "locks_at": rnd.choice([0, NOW_S, NOW_S + 1, NOW_S - rnd.randrange(86_400)]),
            }
        events.append((kind, f"n-1-{number}", base))
    orders = sorted({(values["client"], values["order_id"]) for kind, _, values in events if kind is ORDER})
    for number in range(60):  # some orders several times, some before they were observed, some of nothing
        client, order_id = rnd.choice([*orders, ("shop", "nothing")])
        decision = {
            "at_ms": int(start.timestamp() * 1000) + rnd.choice([0, rnd.randrange(6 * 86_400)]) * 1000 + number,  # no two at once
            "client": client,
            "order_id": order_id,
            "status": rnd.choice(["approved", "rejected"]),
            "who": f"client:{client}/{number}",
            "reason": rnd.choice(["", "returned"]),
        }
        events.append((DECISION, f"n-2-{number}", decision))
    return events


def decisions(events):
    """{(client, order id): the decision that stands}."""
    found = defaultdict(list)
    for kind, _, values in events:
        if kind is DECISION:
            found[values["client"], values["order_id"]].append(values)
    return {key: max(entries, key=lambda values: values["at_ms"]) for key, entries in found.items()}


def status(order, decided):
    """What has become of `order` by NOW_S."""
    decision = decided.get((order["client"], order["order_id"]))
    if decision:
        return decision["status"]
    return "approved" if order["locks_at"] and order["locks_at"] <= NOW_S else "pending"


def standing_orders(events):
    """{(client, order id): the observation that stands}."""
    observed = defaultdict(list)
    for kind, event_id, values in events:
        if kind is ORDER:
            observed[values["client"], values["order_id"]].append((values["partner"] == "", values["at_ms"], event_id, values))
    return {key: min(entries, key=lambda entry: entry[:3])[3] for key, entries in observed.items()}


def visible(scope, values):
    return scope.role == "operator" or values[scope.role] == scope.id


def dimension_value(name, values, zone):
    local = dt.datetime.fromtimestamp(values["at_ms"] // 1000, zone)
    if name == "hour":
        begin = values["at_ms"] // 1000 - 60 * local.minute - local.second
        return dt.datetime.fromtimestamp(begin, zone).isoformat()
    if name == "partner":
        return values["partner"] or None
    return {"day": local.strftime("%Y-%m-%d"), "month": local.strftime("%Y-%m")}.get(name) or values.get(name, "")


def model(events, scope, query, zone):
    """The performance report in plain Python: {(dimensions…, currency): [impressions, clicks, visitors, orders, revenue]}."""
    clicks = {values["click_id"]: values for kind, _, values in events if kind is CLICK and values["click_id"]}
    nothing, decided = [0, 0, set(), 0, 0, *[0] * 6], decisions(events)
    result = defaultdict(lambda: deepcopy(nothing))

    def add(values, currency):
        day = dt.datetime.fromtimestamp(values["at_ms"] // 1000, zone).date()
        wanted = query.client in ("", values["client"]) and query.partner in ("", values["partner"])
        if not (query.first <= day <= query.last and wanted and visible(scope, values)):
            return deepcopy(nothing)
        return result[*(dimension_value(name, values, zone) for name in query.by), currency]

    for kind, _, values in events:
        if kind in (CLICK, IMPRESSION) and (query.quality == "all" or values["quality"] == "human"):
            row = add(values, CLIENTS.get(values["client"], (None,))[0])
            row[1 if kind is CLICK else 0] += 1
            row[2] |= {values["visitor"]} if kind is CLICK else set()
    for values in standing_orders(events).values():
        click = clicks.get(values["click_id"], {})
        row = add({**{n: click.get(n, "") for n in ("s1", "s2", "s3", "s4", "s5", "creative")}, **values}, values["currency"])
        row[3] += 1
        row[4] += values["amount_minor"]
        by_status = ("pending", "approved", "rejected").index(status(values, decided))
        row[5 + by_status] += 1
        row[8 + by_status] += values["commission_minor"]
    return {key: counted(key[-1], *row) for key, row in result.items()}


def counted(currency, impressions, clicks, visitors, orders, revenue, *by_status):
    """A row of the model as `as_model` gives it; what is rejected is owed to nobody."""
    pending, approved, rejected = by_status[3:]
    money = (revenue, pending + approved, pending, approved, rejected)
    return [impressions, clicks, len(visitors), orders, *by_status[:3], *(to_text(minor, currency or "") for minor in money)]


def as_model(rows, by):
    keys = [tuple(row[name] for name in (*by, "currency")) for row in rows]
    assert len(set(keys)) == len(keys), "a key twice"
    counts = ("impressions", "clicks", "unique_clicks", "orders", "orders_pending", "orders_approved", "orders_rejected")
    counts += ("revenue", "commission", "commission_pending", "commission_approved", "commission_rejected")
    return {key: [row[name] for name in counts] for key, row in zip(keys, rows, strict=True)}


async def store(warehouse, events, rnd, insert=None):
    """Insert `events` in a random order, a month and a few rows at a time; some batches twice, where a repeat is known."""
    insert = insert or warehouse.insert
    events = rnd.sample(events, len(events))
    for kind in (CLICK, IMPRESSION, ORDER, DECISION):
        months = defaultdict(list)
        for event_kind, event_id, values in events:
            if event_kind is kind:
                month = dt.datetime.fromtimestamp(values["at_ms"] // 1000, dt.UTC).month
                months[month].append(record(kind, event_id, **values))
        for month, rows in months.items():
            for begin in range(0, len(rows), 40):
                batch, token = encoded(rows[begin : begin + 40]), f"{kind.name}-{month}-{begin}"
                for _ in range(1 + (warehouse.features.insert_tokens and begin % 120 == 0)):
                    await insert(kind.table, columns(kind), batch, token)


@pytest.mark.parametrize(("week", "start"), WEEKS.items(), ids=WEEKS.keys())
async def test_performance_agrees_with_the_model_and_roll_ups_with_raw_tables(warehouse, monkeypatch, week, start, clock):
    rnd = random.Random(week)
    events = random_events(rnd, start)
    await store(warehouse, events, rnd)
    reader = Reports(warehouse, clock)
    scopes = [Scope.operator(), Scope.client("store"), Scope.partner("ada")]
    days = {"from": str(start.date()), "to": str(start.date() + dt.timedelta(days=3))}
    for number, (by, tz) in enumerate(itertools.product(BY, ZONES)):
        scope = scopes[number // len(ZONES) % len(scopes)] if number % 3 else Scope.operator()
        extra = rnd.choice([{}, {}, {"quality": "all"}, {"client": "store"}, {"partner": "ada"}, {"partner": "bob"}])
        query = PerformanceQuery.parse({**days, "by": ",".join(by), "tz": tz, **extra}, start.date())
        report = await reader.performance(scope, query, CLIENTS)
        where = (by, tz, scope, extra)
        expected = model(events, scope, query, ZoneInfo(tz))
        assert as_model(report["rows"], by) == expected, where
        totals = model(events, scope, replace(query, by=()), ZoneInfo(tz))
        assert as_model(report["totals"], ()) == totals, where
        with monkeypatch.context() as patch:  # Kolkata's hours begin at half past, so that it is always asked of raw tables
            patch.setattr(reports, "whole_hours", lambda *_: False)
            assert await reader.performance(scope, query, CLIENTS) == report, where


async def test_a_report_is_shaped_beside_the_event_loop(warehouse, monkeypatch, clock):
    shaped, threads = reports.performance_result, []
    monkeypatch.setattr(reports, "performance_result", lambda *args: threads.append(threading.current_thread()) or shaped(*args))
    await Reports(warehouse, clock).performance(Scope.operator(), PerformanceQuery.parse({}, dt.date(2026, 3, 31)), CLIENTS)
    assert len(threads) == 1 and threads[0] is not threading.main_thread()


async def test_a_partner_sees_neither_unattributed_nor_other_partners_orders(warehouse, clock):
    rnd = random.Random("scopes")
    events = random_events(rnd, WEEKS["forward"])
    await store(warehouse, events, rnd)
    reader = Reports(warehouse, clock)
    query = OrdersQuery.parse({"from": "2026-03-01", "to": "2026-03-31", "limit": "1000"}, dt.date(2026, 3, 31))
    orders = standing_orders(events)
    for scope in (Scope.operator(), Scope.client("shop"), Scope.partner("ada"), Scope.partner("nobody")):
        listed = [(row["client"], row["order"]) for row in (await reader.orders(scope, query))["rows"]]
        expected = {key: values for key, values in orders.items() if visible(scope, values)}
        assert listed == sorted(expected, key=lambda key: (expected[key]["at_ms"], *key), reverse=True)
    mine = await reader.orders(Scope.partner("ada"), query)
    assert {row["partner"] for row in mine["rows"]} == {"ada"}
    others = OrdersQuery.parse({"from": "2026-03-01", "to": "2026-03-31", "partner": "bob"}, dt.date(2026, 3, 31))
    assert (await reader.orders(Scope.partner("ada"), others))["rows"] == []


async def test_orders_of_a_status_are_those_that_the_model_names(warehouse, clock):
    rnd = random.Random("statuses")
    events = random_events(rnd, WEEKS["forward"])
    await store(warehouse, events, rnd)
    reader, days = Reports(warehouse, clock), {"from": "2026-03-01", "to": "2026-03-31"}
    orders, decided = standing_orders(events), decisions(events)
    for scope, asked in itertools.product(
        (Scope.operator(), Scope.client("shop"), Scope.partner("ada")), ("pending", "approved", "rejected", None)
    ):
        params = days | ({"status": asked} if asked else {}) | {"limit": "1000"}
        rows = (await reader.orders(scope, OrdersQuery.parse(params, dt.date(2026, 3, 31))))["rows"]
        expected = {
            key: (to_text(values["commission_minor"], values["currency"]), status(values, decided))
            for key, values in orders.items()
            if visible(scope, values) and asked in (None, status(values, decided))
        }
        assert {(row["client"], row["order"]): (row["commission"], row["status"]) for row in rows} == expected
        for row in rows:
            decision = decided.get((row["client"], row["order"]), {})
            assert row["reason"] == (decision.get("reason") or None)
            assert ("decided_by" in row) is (scope.role != "partner")
            assert row.get("decided_by") in (None, decision.get("who"))


async def test_of_decisions_in_one_millisecond_one_stands_in_every_report(warehouse, clock):
    rows = [record(ORDER, f"e{n}", order_id=f"o{n}", partner="ada", commission_minor=1) for n in range(20)]
    await warehouse.insert("order_events", columns(ORDER), encoded(rows), "orders")
    at_once = [
        record(DECISION, f"{who}-{n}", order_id=f"o{n}", status=decided, who=who)
        for n in range(20)
        for who, decided in (("anna", "approved"), ("ben", "rejected"))
    ]
    await warehouse.insert("order_decisions", columns(DECISION), encoded(at_once), "decisions")
    reader, today = Reports(warehouse, clock), dt.date(2026, 3, 29)
    listed = (await reader.orders(Scope.operator(), OrdersQuery.parse({}, today)))["rows"]
    assert {(row["status"], row["decided_by"]) for row in listed} == {("approved", "anna"), ("rejected", "ben")}
    (total,) = (await reader.performance(Scope.operator(), PerformanceQuery.parse({"by": ""}, today), CLIENTS))["rows"]
    assert total["orders_approved"] == sum(row["status"] == "approved" for row in listed)
    assert total["orders_rejected"] == 20 - total["orders_approved"]


async def test_pages_of_orders_hold_each_order_once_in_one_sequence(warehouse, clock):
    rnd = random.Random("pages")
    rows = [
        record(ORDER, f"e{i}", order_id=f"o'{i}", at_ms=NOON_MS + rnd.randrange(5), client=rnd.choice(["shop", "store"]))
        for i in range(25)
    ]
    await warehouse.insert("order_events", columns(ORDER), encoded(rows), "all")
    listed, params = [], {"limit": "4"}
    while params:
        page = await Reports(warehouse, clock).orders(Scope.operator(), OrdersQuery.parse(params, dt.date(2026, 3, 29)))
        listed += [(row["client"], row["order"]) for row in page["rows"]]
        params = {"limit": "4", "cursor": page["next"]} if page["next"] else None
    whole = await Reports(warehouse, clock).orders(Scope.operator(), OrdersQuery.parse({"limit": "1000"}, dt.date(2026, 3, 29)))
    assert listed == [(row["client"], row["order"]) for row in whole["rows"]]
    assert len(set(listed)) == 25


async def test_a_row_of_orders_is_the_contracts(warehouse, clock):
    event_id, values = seen(1, "ada", 1250)
    rows = [
        record(ORDER, event_id, order_id="A-1", clicked_at=NOON_MS // 1000, coupon="SPRING", customer="new", **values),
        record(ORDER, "later", order_id="A-1", at_ms=NOON_MS + 120_000, partner="bob", amount_minor=1),
        record(ORDER, "plain", order_id="A-0"),
    ]
    await warehouse.insert("order_events", columns(ORDER), encoded(rows), "t")
    query = OrdersQuery.parse({}, dt.date(2026, 3, 29))
    first, second = (await Reports(warehouse, clock).orders(Scope.client("shop"), query))["rows"]
    common = {"client": "shop", "currency": "EUR", "commission": "0.00", "status": "pending"}
    common |= dict.fromkeys(("decided_at", "decided_by", "reason", "locks_at"))
    assert first == common | {
        "order": "A-1",
        "partner": "ada",
        "amount": "12.50",
        "method": "click",
        "click_id": "click of ada",
        "clicked_at": "2026-03-29T12:00:00Z",
        "ordered_at": "2026-03-29T12:01:00Z",
        "coupon": "SPRING",
        "customer": "new",
        "flags": ["conflict"],
    }
    nothing = dict.fromkeys(("partner", "method", "click_id", "clicked_at", "coupon", "customer"))
    assert second == common | nothing | {"order": "A-0", "amount": "0.00", "ordered_at": "2026-03-29T12:00:00Z", "flags": []}


async def test_refusals_are_reported_to_whom_they_concern(warehouse, clock):
    """A client its own, a partner its own at all clients, but for orders; days are the client's."""
    late = int(dt.datetime(2026, 3, 29, 22, 30, tzinfo=dt.UTC).timestamp() * 1000)  # already the 30th in Berlin
    made = [
        (NOON_MS, "shop", "ada", "click", "refused gpc"),
        (NOON_MS + 1, "shop", "ada", "click", "refused gpc"),
        (NOON_MS, "shop", "bob", "impression", "refused opt_out"),
        (NOON_MS, "shop", "", "click", "refused gpc"),
        (late, "shop", "ada", "click", "refused gpc"),
        (NOON_MS, "store", "ada", "click", "refused require"),
    ]
    await warehouse.insert("refusals", columns(REFUSAL), encoded([(*row, f"r{n}") for n, row in enumerate(made)]), "refusals")
    orders = [
        record(ORDER, "o1", order_id="A-1", consent="refused gpc"),
        record(ORDER, "o2", order_id="A-1", consent="refused tcf", at_ms=NOON_MS + 1000),
        record(ORDER, "o3", order_id="A-2", consent="allowed consent", partner="ada"),
    ]
    await warehouse.insert("order_events", columns(ORDER), encoded(orders), "orders")
    reader, zones = Reports(warehouse, clock), {"shop": ("EUR", "Europe/Berlin"), "store": ("USD", "UTC")}

    async def asked(scope, **params):
        query = RefusalsQuery.parse(params, dt.date(2026, 3, 31))
        rows = (await reader.refusals(scope, query, zones))["rows"]
        return [(row["day"][-2:], row["client"], row["partner"], row["what"], row["verdict"][8:], row["requests"]) for row in rows]

    shop = [("29", "shop", None, "click", "gpc", 1), ("29", "shop", None, "order", "gpc", 1)]
    ada, bob = ("29", "shop", "ada", "click", "gpc", 2), ("29", "shop", "bob", "impression", "opt_out", 1)
    store = ("29", "store", "ada", "click", "require", 1)
    assert await asked(Scope.operator()) == [*shop, (*ada[:5], 3), bob, store]
    assert await asked(Scope.client("shop")) == [*shop, ada, bob, ("30", "shop", "ada", "click", "gpc", 1)]
    assert await asked(Scope.client("shop"), tz="UTC") == [*shop, (*ada[:5], 3), bob]
    assert await asked(Scope.partner("ada")) == [(*ada[:5], 3), store]
    assert await asked(Scope.partner("ada"), client="store") == [store]
    assert await asked(Scope.partner("bob")) == [bob]
    assert await asked(Scope.client("shop"), partner="bob") == [bob]
    assert await asked(Scope.client("other")) == await asked(Scope.operator(), to="2026-03-28") == []
    assert await asked(Scope.client("other"), client="shop") == await asked(Scope.partner("bob"), partner="ada") == []


async def test_test_orders_are_in_no_report(warehouse, clock):
    kind = KINDS["t"]
    await warehouse.insert(kind.table, columns(kind), encoded([record(kind, "t", order_id="1", partner="ada")]), "t")
    reader = Reports(warehouse, clock)
    today = dt.date(2026, 3, 29)
    assert (await reader.orders(Scope.operator(), OrdersQuery.parse({}, today)))["rows"] == []
    assert (await reader.performance(Scope.operator(), PerformanceQuery.parse({}, today), CLIENTS))["rows"] == []


async def test_days_are_the_clients_unless_told_otherwise(warehouse, clock):
    late = int(dt.datetime(2026, 3, 29, 23, 30, tzinfo=dt.UTC).timestamp() * 1000)  # already the 30th in Berlin
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c", at_ms=late)]), "t")
    reader = Reports(warehouse, clock)

    async def day(scope, **params):
        rows = (await reader.performance(scope, PerformanceQuery.parse(params, dt.date(2026, 3, 31)), CLIENTS))["rows"]
        return [row["day"] for row in rows]

    assert await day(Scope.operator()) == ["2026-03-29"]
    assert await day(Scope.operator(), client="shop") == ["2026-03-30"]
    assert await day(Scope.client("shop")) == ["2026-03-30"]
    assert await day(Scope.client("shop"), tz="UTC") == ["2026-03-29"]
    assert await day(Scope.client("shop"), to="2026-03-29") == []


async def test_a_report_of_too_many_rows_says_what_to_do(warehouse, clock):
    rows = [record(CLICK, f"c{i}", s1=f"{i}", click_id=f"k{i}") for i in range(MAX_ROWS + 1)]
    await warehouse.insert("clicks", columns(CLICK), encoded(rows), "many")
    query = PerformanceQuery.parse({"by": "s1"}, dt.date(2026, 3, 29))
    with pytest.raises(BadInput, match="fewer days or fewer dimensions"):
        await Reports(warehouse, clock).performance(Scope.operator(), query, CLIENTS)


# ---- the report files

HELD = "held_affinities"  # no report either: of click ids that a browser has shown, for who holds it
DECIDING = "order_to_decide"  # no report: one order of one client, whom `Decisions` has compared with the scope
SQL = [file for file in sorted(Path(reports.__file__).with_name("sql").glob("*.sql")) if not file.name[0].isdigit()]
# The views of tenants' logins are scoped otherwise; test_logins.py tries them. Releases are made of everybody, for nobody.
REPORTS = [file for file in SQL if file.stem not in (DECIDING, HELD, "scope") and not file.stem.startswith(("tenant_", "audience_"))]


def test_whoever_decides_reads_one_order_of_one_client():
    sql = reports.statement(DECIDING)
    assert re.findall(r"FROM (\w+)\s+WHERE client = \{client:String\} AND order_id = \{order:String\}\n", sql) == [
        "orders",
        "order_decisions",
    ]
    assert len(re.findall(r"FROM \w", sql)) == 2


def test_a_release_counts_one_clients_day():
    within = (
        r"FROM {}\s+WHERE client = \{{client:String\}}\s+AND at >= toDateTime\(\{{from_s:UInt32\}}, 'UTC'\)"
        r"\s+AND at < toDateTime\(\{{until_s:UInt32\}}, 'UTC'\)"
    )
    assert re.search(within.format("clicks") + r"\s+AND quality = 'human'", reports.statement("audience_visits"))
    assert re.search(within.format("affinities"), reports.statement("audience_affinities"))


def test_what_visitors_see_is_of_the_clicks_that_they_hold():
    sql, clicks = reports.statement(HELD), r"\(SELECT arrayJoin\(splitByChar\(',', \{clicks:String\}\)\)\)"
    found = re.findall(rf"FROM (\w+)\s+WHERE client = \{{client:String\}} AND click_id IN {clicks}\n", sql)
    assert found == ["affinities", "forgotten"] and len(re.findall(r"FROM \w", sql)) == 2


async def test_what_visitors_see_is_what_they_have_not_taken_back(warehouse, clock):
    now_ms = int(time.time() * 1000)  # a week later, the engine's own clock would take them
    kept = [record(AFFINITY, f"f{i}", at_ms=now_ms, click_id=f"k{i}", categories=f"c{i},all") for i in range(3)]
    await warehouse.insert("affinities", columns(AFFINITY), encoded(kept), "kept")
    await warehouse.insert("forgotten", columns(FORGET), encoded([record(FORGET, "x", at_ms=now_ms, click_id="k1")]), "forgotten")
    affinities = Affinities(warehouse, MemoryIntake(), clock)
    assert await affinities.held("shop", ["k0", "k1"]) == ["all", "c0"]
    assert await affinities.held("shop", ["k1"]) == await affinities.held("nobody", ["k0"]) == []


@pytest.mark.parametrize("file", REPORTS, ids=lambda file: file.stem)
def test_every_read_of_a_table_in_a_report_has_the_scope(file):
    sql = " ".join(re.sub(r"--.*", "", reports.statement(file.stem)).split())
    scope = (
        "AND ({scope:String} = 'operator' OR ({scope:String} = 'client' AND client = {scope_id:String}) "
        "OR ({scope:String} = 'partner' AND partner = {scope_id:String}))"
    )
    clients = "({scope:String} != 'client' OR client = {scope_id:String}) AND ({client:String} = '' OR client = {client:String})"
    # `repeated_orders` counts, for partners too, how often orders within the scope were observed, and that goes nowhere. So do
    # decisions, which know no partner: what is kept of them is those of orders that are in the scope.
    for text in (
        f"( SELECT order_key FROM order_events WHERE {clients} AND order_key IN ( SELECT",
        f"FROM order_decisions WHERE {clients} AND",
        "( SELECT order_key FROM order_events WHERE (({scope:String} = 'partner' AND partner = {scope_id:String}) "
        "OR ({partner:String} != '' AND partner = {partner:String})) )",
        # Whether, and when first, a day was released is nobody's secret.
        "AND (day, released_ms) IN (SELECT day, min(released_ms) FROM audience_releases GROUP BY day)",
        "FROM audience_releases WHERE dimension = '' AND",
    ):
        sql = sql.replace(text, "(scoped)")
    reads = [name for name in re.findall(r"(?:FROM|JOIN) ([\w{}]+)", sql) if name not in ("{{orders}}", "{{decided}}", "{{chosen}}")]
    tables = {"audience_releases", "clicks", "impressions", "orders", "order_events", "refusals", "traffic_grains", "traffic_hourly"}
    assert set(reads) <= tables
    assert reads or "{{" in sql or "(scoped)" in sql
    assert sql.count(scope) == len(reads)
    assert ";" not in sql


def test_dimensions_are_expressions_of_our_own():
    assert set(reports._EXPRESSIONS) == set(Dimension)
    assert all(re.fullmatch(r"[\w(), {}:]+", expression) for expression in reports._EXPRESSIONS.values())


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE clicks",
        "SELECT 1; DROP TABLE clicks",
        "INSERT INTO clicks (client) VALUES ('x')",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "SELECT 1 INTO OUTFILE 'pixeld-test-outfile'",
        "SELECT * FROM file('/etc/hostname', 'TSV', 'a String')",
        "SELECT number FROM numbers(100001)",
        "SELEKT 1",
    ],
)
async def test_what_an_operator_types_can_only_read(warehouse, sql, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WarehouseRefused):
        await warehouse.read_only(sql)
    assert not list(tmp_path.iterdir())
    assert await warehouse.query("SELECT count() AS n FROM clicks", {}) == [{"n": 0}]
    assert await warehouse.read_only("SELECT 1 AS one") == [{"one": 1}]


async def test_the_embedded_engine_leaves_the_cpu_to_whoever_answers(engine, warehouse):
    def niceness(role):
        return role.run(lambda _: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    url, _, _ = engine
    found = [await niceness(role) for role in (warehouse._insert, warehouse._query)]
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert found == [ours if url else max(ours, 10)] * 2
    if not url:
        await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "t")
        merging = []
        for task in Path("/proc/self/task").iterdir():  # noqa: ASYNC240 - of /proc
            with suppress(FileNotFoundError, ProcessLookupError):  # one that has ended meanwhile
                if (task / "comm").read_text().startswith("Merge"):
                    merging.append(os.getpriority(os.PRIO_PROCESS, int(task.name)))
        assert merging and set(merging) == {max(ours, 10)}
        assert os.getpriority(os.PRIO_PROCESS, threading.main_thread().native_id) == ours


@pytest.mark.parametrize(
    ("started_with", "refused", "asked_for"),
    [
        pytest.param(0, False, [10], id="as it is set"),
        pytest.param(15, False, [15], id="never less than the process has, which is for root alone"),
        pytest.param(0, True, [10], id="not allowed at all: it goes on without"),
    ],
)
async def test_niceness(started_with, refused, asked_for, monkeypatch):
    asked = []

    def setpriority(which, thread, niceness):
        asked.append(niceness)
        if refused:
            raise PermissionError

    monkeypatch.setattr(os, "getpriority", lambda which, who: started_with)
    monkeypatch.setattr(os, "setpriority", setpriority)
    role = _Role("insert", lambda: Idle(), 10)
    assert await role.run(lambda link: link.preferred())
    await role.close()
    assert asked == (asked_for if sys.platform == "linux" else [])


async def test_those_who_wait_for_a_connection_that_fails_are_told_with_the_first():
    tried, go_on = [], threading.Event()

    def connect():
        tried.append(1)
        assert go_on.wait(20)
        raise WarehouseAway("nobody answers")

    role = _Role("query", connect)
    waiting = [asyncio.create_task(role.run(lambda link: None)) for _ in range(5)]
    await asyncio.sleep(0)  # they have asked
    go_on.set()
    assert [str(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == ["nobody answers"] * 5
    assert len(tried) == 1
    with pytest.raises(WarehouseAway):
        await role.run(lambda link: None)
    assert len(tried) == 2
    await role.close()


class Idle:
    """A connection that does nothing."""

    def preferred(self):
        return True

    def close(self):
        pass


@pytest.mark.parametrize("engine", ["chdb"], indirect=True, scope="module")
async def test_where_no_file_can_be_made_a_batch_waits(warehouse, monkeypatch):
    def memfd_create(name):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", memfd_create, raising=False)
        with pytest.raises(WarehouseAway, match="Too many open files"):
            await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "t")
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "t")
    assert await count(warehouse, "clicks") == 1


@pytest.mark.parametrize("engine", ["chdb"], indirect=True, scope="module")
async def test_where_files_have_to_be_on_a_disk_a_batch_goes_through_one(warehouse, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")] * 3), "t")
    assert await count(warehouse, "clicks") == 3


@pytest.mark.parametrize("engine", ["chdb"], indirect=True, scope="module")
async def test_where_threads_cannot_be_listed_a_batch_goes_through_all_the_same(warehouse, monkeypatch):
    monkeypatch.setattr(Path, "iterdir", lambda self: (_ for _ in ()).throw(FileNotFoundError(2, "no /proc")))
    await warehouse.insert("clicks", columns(CLICK), encoded([record(CLICK, "c")]), "t")
    monkeypatch.undo()
    assert await count(warehouse, "clicks") == 1


async def test_why_a_row_is_refused_does_not_quote_it(warehouse):
    values = {"order_id": "secret-order", "click_id": "secret-click", "coupon": "secret-coupon"}
    rows = encoded([record(ORDER, "e-1", **values, amount_minor="secret-amount")])
    with pytest.raises(WarehouseRefused) as refused:
        await warehouse.insert(ORDER.table, columns(ORDER), rows, "token")
    assert "secret" not in str(refused.value)
