"""SQL logins: whose rows, which columns, by whose rights; on a real engine as far as one is to be had (see tests/file_users.py)."""

import asyncio
import itertools
import json
import re
import time
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from pixeld import sql_access
from pixeld.cli import main
from pixeld.errors import BadInput, QueueAway, WarehouseAway, WarehouseRefused
from pixeld.sql_access import Logins
from pixeld.storage import migrations
from pixeld.storage.clickhouse import as_user, each_host
from pixeld.storage.features import Cluster, Features
from pixeld.storage.logins import READ, VIEWS, WITHHELD, Login, Statements, quoted
from pixeld.storage.registry import Registry
from pixeld.web import admin, keys
from tests.conftest import require
from tests.file_users import FileUsers
from tests.services import clickhouse_server

URL = "clickhouse://default:only-for-tests@127.0.0.1:9000/pixeld"
NEW = Features.of("26.9.2.1")
NOW_MS = int(time.time()) // 3600 * 3_600_000  # the engine's own clock decides what is too old to keep
CLIENTS, PARTNERS = ["shop", "shop-2"], ["ann", "ann-2", ""]
LOGINS = [("client", "shop"), ("client", "shop-2"), ("partner", "ann"), ("partner", "ann-2"), ("analyst", "eve")]


def relations():
    """name → the statement that makes it."""
    return {re.search(r"\{\{create (\w+)\}\}", m.text)[1]: m.text for m in migrations.known()}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """What starts an engine with the schema, and orders and traffic of two clients with two partners each."""
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    started = []

    def start():
        engine = FileUsers(tmp_path_factory.mktemp("logins"))
        started.append(engine)
        engine.run("CREATE DATABASE pixeld")
        engine.run("USE pixeld")
        for statement in itertools.chain.from_iterable(m.statements(NEW) for m in migrations.known()):
            engine.run(statement)
        fill(engine)
        return engine

    yield start
    for engine in started:
        engine.close()


@pytest.fixture(scope="module")
def bare(start):
    """An engine without logins, for what makes and drops them."""
    return start()


@pytest.fixture(scope="module")
def engine(start):
    """An engine with every login at once: what one has, no other may get."""
    engine = start()
    logins = Logins(URL, connect=engine.connect)
    for kind, id in LOGINS:
        assert len(logins.create(logins.login(kind, id))) >= 32
    return engine


def fill(engine):
    engine.run(
        "INSERT INTO audience_releases (day, k, released_ms) VALUES "
        f"({NOW_MS // 86_400_000}, 50, {NOW_MS})"  # the mark that the day is released
    )
    for index, (client, partner) in enumerate(itertools.product(CLIENTS, PARTNERS)):
        orders = [(f"o{index}-{n}", client, partner, NOW_MS + n, n) for n in range(3)]
        if partner == "ann-2":  # seen again, later, with a partner that it doesn't stand with
            orders += [(order, client, "ann", at_ms + 9, n) for order, client, _, at_ms, n in orders]
        for number, (order, c, p, at_ms, amount) in enumerate(orders):
            engine.run(
                "INSERT INTO order_events (at_ms, client, order_id, partner, amount_minor, currency, country, event_id) "
                f"VALUES ({at_ms}, '{c}', '{order}', '{p}', {amount}, 'EUR', 'NL', 'e{index}-{number}')"
            )
        for n, status in enumerate(("approved", "rejected")):
            for at_ms, decided in ((1, "other"), (2, status)):  # the newest counts
                engine.run(
                    "INSERT INTO order_decisions (at_ms, client, order_id, status, who, reason, event_id) VALUES "
                    f"({NOW_MS + at_ms}, '{client}', 'o{index}-{n}', '{decided}', 'somebody', 'because', 'd{index}-{n}-{at_ms}')"
                )
        engine.run(
            "INSERT INTO audience_releases (day, client, partner, dimension, value, visitors, k, released_ms) VALUES "
            f"({NOW_MS // 86_400_000}, '{client}', '{partner}', 'country', 'NL', {60 + index * 10}, 50, {NOW_MS})"
        )
        engine.run(
            "INSERT INTO audience_releases (day, client, partner, dimension, value, visitors, k, released_ms) VALUES "
            f"({NOW_MS // 86_400_000}, '{client}', '{partner}', 'country', 'NL', 990, 50, {NOW_MS + 1})"  # once more: not told
        )
        for table, count in (("clicks", 25 if partner == "ann" else 9), ("impressions", 40)):
            engine.run(
                f"INSERT INTO {table} (at_ms, client, partner, quality, visitor, country, event_id) SELECT {NOW_MS}, "
                f"'{client}', '{partner}', 'human', {index} * 1000 + number, 'NL', toString(number) FROM numbers({count})"
            )


@pytest.fixture
def kept(engine):
    """What a test does to users and policies is undone."""
    before = (engine.closed, {user: list(granted) for user, granted in engine.users.items()}, dict(engine.policies))
    yield engine
    engine.restore(*before)


@pytest.fixture
def logins(bare):
    bare.closed = True
    return Logins(URL, connect=bare.connect)


def test_every_relation_is_read_or_withheld_for_a_reason():
    assert set(relations()) == READ.keys() | WITHHELD.keys() and not READ.keys() & WITHHELD.keys()


def test_what_feeds_a_roll_up_has_no_row_policy():
    feeding = {name for text in relations().values() if "MATERIALIZED" in text for name in re.findall(r"FROM \{\{stored (\w+)", text)}
    assert feeding == {"clicks", "impressions"} and not feeding & READ.keys()


@pytest.mark.parametrize(("name", "relation"), READ.items(), ids=READ)
def test_a_policy_names_columns_that_are_there(engine, name, relation):
    columns = {row["name"] for row in engine.run(f"SELECT name FROM system.columns WHERE database = 'pixeld' AND table = '{name}'")}
    assert set(relation.columns) == columns & {"client", "partner"}


def test_a_row_policy_on_what_feeds_a_roll_up_would_take_rows_from_it(kept):
    """Why there is none. If this fails, the engine has changed for the better."""
    kept.command("CREATE ROW POLICY OR REPLACE `p` ON `pixeld`.`clicks` FOR SELECT USING 0 AS PERMISSIVE TO `default`")
    kept.run(f"INSERT INTO pixeld.clicks (at_ms, client, quality, event_id) VALUES ({NOW_MS}, 'lost', 'human', 'lost')")
    assert kept.run("SELECT count() AS n FROM pixeld.traffic_hourly WHERE client = 'lost'") == [{"n": 0}]


# ---- what a login sees

EXPECTED_ORDERS = {
    (f"o{index}-{n}", client, partner)
    for index, (client, partner) in enumerate(itertools.product(CLIENTS, PARTNERS))
    for n in range(3)
}


@pytest.mark.parametrize(("kind", "id"), LOGINS, ids=map("-".join, LOGINS))
def test_a_login_sees_exactly_its_own_rows(engine, kind, id):
    login = Login(kind, id, "pixeld")

    def mine(client, partner):
        return {"client": client == id, "partner": partner == id, "analyst": True}[kind]

    pairs = {pair for pair in itertools.product(CLIENTS, PARTNERS) if mine(*pair)}
    orders = {(r["order_id"], r["client"], r["partner"]) for r in engine.ask(login.name, "SELECT * FROM transactions", login.name)}
    assert orders == {order for order in EXPECTED_ORDERS if mine(*order[1:])}
    states = {(r["order_id"][-1], r["status"], r["reason"]) for r in engine.ask(login.name, "SELECT * FROM transactions", login.name)}
    assert states == {("0", "approved", "because"), ("1", "rejected", "because"), ("2", "pending", "")}
    traffic = engine.ask(login.name, "SELECT * FROM performance", login.name)
    assert {(r["client"], r["partner"]): (r["impressions"], r["clicks"], r["unique_clicks"]) for r in traffic} == {
        pair: (40, *(2 * [25 if pair[1] == "ann" else 9])) for pair in pairs
    }
    audience = engine.ask(login.name, "SELECT * FROM audience", login.name)
    groups = {(r["client"], r["partner"], r["dimension"], r["value"], r["visitors"]) for r in audience}
    released = {pair: 60 + 10 * n for n, pair in enumerate(itertools.product(CLIENTS, PARTNERS))}
    assert groups == {(*pair, "country", "NL", released[pair]) for pair in pairs}, "what was released, and nothing else"


PRIVATE = {"visitor", "visitors_state", "event_id", "country", "device", "browser", "os", "language", "quality", "order_key", "second_key", "s1", "who"}


@pytest.mark.parametrize("view", ["transactions", "performance"])
def test_rows_of_single_orders_and_days_tell_nothing_of_who_it_was(engine, view):
    rows = engine.run(f"SELECT name, type FROM system.columns WHERE database = 'pixeld_client_shop' AND table = '{view}'")
    assert rows and not {row["name"] for row in rows} & PRIVATE
    assert not any("AggregateFunction" in row["type"] for row in rows)


@pytest.mark.parametrize("other", [f"pixeld.{name}" for name in (*READ, *WITHHELD)] + [f"pixeld_client_shop-2.{v}" for v in VIEWS])
def test_a_login_may_read_nothing_else(engine, other):
    database, _, name = other.partition(".")
    with pytest.raises(WarehouseAway, match="Not enough privileges"):
        engine.ask("pixeld_client_shop", f"SELECT count() FROM `{database}`.{name}")


@pytest.mark.parametrize("table", READ)
@pytest.mark.parametrize(("kind", "id"), LOGINS[:-1], ids=map("-".join, LOGINS[:-1]))
def test_the_policies_hold_without_the_views(engine, table, kind, id):
    reader = Login(kind, id, "pixeld").reader
    column = kind if kind in READ[table].columns else "client"
    rows = engine.ask(reader, f"SELECT DISTINCT {column} AS id FROM pixeld.{table}")
    if kind == "partner" and READ[table].whole:
        assert {row["id"] for row in rows} == set(PARTNERS if column == "partner" else CLIENTS)
    else:
        assert {row["id"] for row in rows} == {id}


@pytest.mark.parametrize("closed", [True, False], ids=["as configured", "configuration lost"])
def test_a_grant_given_by_mistake_shows_nothing_of_others(kept, closed):
    kept.closed = closed
    for table in READ:
        kept.command(f"GRANT SELECT ON `pixeld`.`{table}` TO `pixeld_client_shop`")
    for table in READ:
        rows = kept.ask("pixeld_client_shop", f"SELECT DISTINCT client FROM pixeld.{table}")
        assert rows == ([] if closed else [{"client": "shop"}]), table


def test_the_views_hold_without_the_policies(kept):
    kept.closed = False
    kept.policies.clear()
    kept.command("CREATE USER `nobody`")
    assert len(kept.ask(Login("client", "shop", "pixeld").reader, "SELECT DISTINCT client FROM pixeld.orders")) == len(CLIENTS)
    for kind, id in LOGINS[:-1]:
        for view in VIEWS:
            login = Login(kind, id, "pixeld").name
            rows = kept.ask(login, f"SELECT DISTINCT {kind} AS id FROM {view}", login)
            assert rows == [{"id": id}], view


def test_pixelds_own_user_sees_every_row_and_whoever_has_no_policy_none(kept):
    kept.command("CREATE USER `grafana`")
    for table in READ:
        kept.command(f"GRANT SELECT ON `pixeld`.`{table}` TO `grafana`")
    assert kept.ask("default", "SELECT count() AS n FROM pixeld.orders") == [{"n": len(EXPECTED_ORDERS)}]
    assert kept.ask("grafana", "SELECT count() AS n FROM pixeld.orders") == [{"n": 0}]


# ---- making and dropping

def test_a_server_that_shows_rows_to_everybody_gets_no_login(bare, logins):
    bare.closed, said = False, len(bare.said)
    with pytest.raises(WarehouseRefused, match=r"users_without_row_policies_can_read_rows.*tenants\.xml"):
        logins.create(logins.login("client", "shop"))
    assert bare.users.keys() == {"default"} and not bare.policies and not bare.roles
    assert not any("_client_" in statement for statement in bare.said[said:])
    assert bare.run("SELECT name FROM system.tables WHERE name LIKE '%canary%'") == []


def test_a_server_that_shows_system_to_everybody_gets_no_login(bare, logins, monkeypatch):
    monkeypatch.setattr(sql_access, "_METRICS", "SELECT 1")
    with pytest.raises(WarehouseRefused, match=r"select_from_system_db_requires_grant.*tenants\.xml"):
        logins.create(logins.login("client", "shop"))
    assert bare.users.keys() == {"default"}


def without_conditions(statement):
    return [re.sub(r"(WHERE|AND|USING) client = 'shop'", r"\1 1", statement)]


def with_the_readers_rights(statement):
    return [statement, *([statement.replace("__reader`", "`")] if statement.startswith("GRANT SELECT ON `pixeld`.") else [])]


@pytest.mark.parametrize(
    ("mistake", "told"),
    [(without_conditions, "would see rows of others"), (with_the_readers_rights, "could read more than its views")],
    ids=["rows", "rights"],
)
def test_a_login_that_would_see_too_much_is_taken_away_again(bare, logins, mistake, told, monkeypatch):
    create = Statements.create
    monkeypatch.setattr(Statements, "create", lambda *args: itertools.chain.from_iterable(map(mistake, create(*args))))
    with pytest.raises(WarehouseRefused, match=f"{told}, and was taken away again"):
        logins.create(logins.login("client", "shop"))
    assert bare.users.keys() == {"default"} and not any("_client_" in name for name, *_ in bare.policies)


def test_dropping_leaves_nothing_of_it_and_everything_of_others(bare, logins):
    logins.create(logins.login("client", "shop-2"))
    before = (set(bare.users), set(bare.roles), dict(bare.policies))
    logins.create(logins.login("client", "shop"))
    for _ in range(2):
        logins.drop(logins.login("client", "shop"))
        assert (set(bare.users), set(bare.roles), dict(bare.policies)) == before
    assert bare.run("SELECT name FROM system.databases WHERE name LIKE '%client_shop'") == []
    logins.drop(logins.login("client", "shop-2"))


def test_making_it_again_makes_the_same_with_another_password(bare, logins):
    login = logins.login("partner", "ann")
    first = logins.create(login)
    before = (set(bare.users), set(bare.roles), dict(bare.policies))
    assert logins.create(login) != first
    assert (set(bare.users), set(bare.roles), dict(bare.policies)) == before
    assert logins.create(login, "ab" * 32) is None
    assert bare.said[-1].endswith(f"sha256_hash BY '{'ab' * 32}'") or "canary" in bare.said[-1]
    logins.drop(login)


def test_showing_changes_nothing_and_shows_what_would_be_run(bare, logins):
    login, said = logins.login("client", "shop"), len(bare.said)
    shown = logins.plan(login, "ab" * 32)
    assert len(bare.said) == said
    logins.create(login)
    ran = [statement for statement in bare.said[said:] if "canary" not in statement]
    assert [re.sub("BY '.*'", "", s) for s in shown] == [re.sub("BY '.*'", "", s) for s in ran]
    logins.drop(login)


class Command:
    """What runs `pixeld sql-access` against that engine, and what the server's audit log then says, oldest first."""

    def __init__(self, url, registry):
        self.url, self.registry = url, registry

    async def __call__(self, *arguments, typed=""):
        arguments = ["sql-access", "--url", self.url, *arguments]
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, input=typed)

    async def log(self):
        return [(entry["what"], entry["before"], entry["after"]) for entry in reversed(await self.registry.audit(9))]


@pytest.fixture
async def command(bare, monkeypatch, aiohttp_server, redis, clock):
    app = admin.application()
    registry = Registry(redis, clock, changed=lambda _: None, keep=lambda _: None, kept=None)
    app[keys.REGISTRY], app[keys.ADMIN_TOKEN] = registry, "the-admin-token"
    bare.closed = True
    monkeypatch.setattr(sql_access, "Logins", partial(Logins, connect=bare.connect))
    monkeypatch.setenv("PIXELD_CLICKHOUSE_URL", URL)
    monkeypatch.setenv("PIXELD_ADMIN_TOKEN", "the-admin-token")
    return Command(str((await aiohttp_server(app, shutdown_timeout=0.1)).make_url("")), registry)


async def test_the_command_tells_the_password_once_and_hands_on_its_hash(bare, command):
    made = await command("--client", "shop")
    assert made.exit_code == 0 and "shown this once" in made.stderr
    told = dict(line.split(maxsplit=1) for line in made.stdout.splitlines())
    assert (told["user"], told["database"]) == ("pixeld_client_shop", "pixeld_client_shop")
    assert told["views"] == "transactions, performance, audience"
    said = "\n".join(bare.said)
    assert told["password"] not in said and sha256(told["password"].encode()).hexdigest() in said
    again = json.loads((await command("--client", "shop", "--json")).stdout)
    assert again["password"] != told["password"]
    assert "password" not in json.loads((await command("--client", "shop", "--password-sha256", "ab" * 32, "--json")).stdout)
    assert (await command("--client", "shop", "--drop")).stdout == "pixeld_client_shop is gone.\n"
    assert "pixeld_client_shop" not in bare.users


async def test_the_command_shows_statements_that_can_be_run_by_hand(bare, command):
    shown = (await command("--partner", "ann", "--show", "--password-sha256", "ab" * 32)).stdout
    assert json.loads((await command("--partner", "ann", "--show", "--json")).stdout)
    for statement in shown.split(";\n")[:-1]:
        bare.run(f"EXPLAIN AST {statement}")
    assert f"IDENTIFIED WITH sha256_hash BY '{'ab' * 32}'" in shown and "pixeld_partner_ann" not in bare.users


async def test_another_user_makes_the_login_and_pixelds_own_keeps_its_rows(bare, command):
    assert (await command("--client", "shop", "--admin", "root", typed="typed\n")).exit_code == 0
    assert ("root", "typed") in bare.passwords
    assert {user for condition, _, user in bare.policies.values() if condition == "1"} == {"default"}
    assert (await command("--client", "shop", "--drop")).exit_code == 0


ENTRY = "sql-access/pixeld_analyst_eve"


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        pytest.param([], [(ENTRY, None, "made")], id="made"),
        pytest.param(["--drop"], [(ENTRY, None, "dropped")], id="dropped"),
        pytest.param(["--show"], [], id="shown: nothing has changed"),
        pytest.param(["--unrecorded"], [], id="made unrecorded"),
        pytest.param(["--drop", "--unrecorded"], [], id="dropped unrecorded"),
    ],
)
async def test_every_change_is_on_the_audit_log(bare, command, options, noted):
    assert (await command("--analyst", "eve", *options)).exit_code == 0
    assert await command.log() == noted
    Logins(URL, connect=bare.connect).drop(Login("analyst", "eve", "pixeld"))


@pytest.mark.parametrize("options", [[], ["--drop"]], ids=["make", "drop"])
@pytest.mark.parametrize("silent", ["no server", "another token", "no Redis"])
async def test_what_cannot_be_noted_is_not_done(bare, command, monkeypatch, options, silent):
    async def away(*_):
        raise QueueAway("Redis is away")

    said = len(bare.said)
    if silent == "no server":
        command.url = "http://127.0.0.1:1"
    elif silent == "another token":
        monkeypatch.setenv("PIXELD_ADMIN_TOKEN", "another")
    else:
        monkeypatch.setattr(command.registry, "note", away)
    refused = await command("--client", "shop", *options)
    assert refused.exit_code == (3 if silent == "no server" else 1) and refused.stdout == ""
    assert "nothing was done; --unrecorded does it all the same" in refused.stderr and len(bare.said) == said
    assert (await command("--client", "shop", "--unrecorded", *options)).exit_code == 0
    Logins(URL, connect=bare.connect).drop(Login("client", "shop", "pixeld"))


@pytest.mark.parametrize("id", ["Shop", "a_b", "a'b"])
async def test_the_command_refuses_what_is_no_id(command, id):
    refused = await command("--client", id)
    assert refused.exit_code == 1 and "is no id" in refused.stderr and "Traceback" not in refused.stderr


async def test_a_user_that_may_not_make_logins_is_told_what_may_and_the_log_that_it_failed(bare, command, monkeypatch):
    def denied(self, sql):
        raise WarehouseAway("ClickHouse (ch:9000) cannot do it now: default: Not enough privileges. (code 497)")

    monkeypatch.setattr(FileUsers, "command", denied)
    refused = await command("--client", "shop")
    entry = "sql-access/pixeld_client_shop"
    assert await command.log() == [(entry, None, "made"), (f"{entry}/failed", "made", None)]
    assert refused.exit_code == 1 and "default may not make logins: name a user that may manage access with --admin" in refused.stderr


def test_the_servers_configuration_is_what_the_command_asks_for():
    root = ElementTree.parse(Path(__file__).parents[2] / "config" / "clickhouse" / "tenants.xml").getroot()
    settings = {setting.tag: setting.text for setting in root.find("access_control_improvements")}
    assert settings["users_without_row_policies_can_read_rows"] == "false"
    assert settings["select_from_system_db_requires_grant"] == "true"


# ---- the statements

ODD = ["pixeld", "a-b", "it`s", "back\\slash"]


@pytest.mark.parametrize("cluster", [None, Cluster("pix-els", "pixeld")], ids=["single", "cluster"])
@pytest.mark.parametrize("database", ODD)
def test_the_engine_understands_every_statement(engine, database, cluster):
    statements = Statements(database, cluster)
    login = Login("client", "shop", database)
    every = [
        *statements.admit(["default", "o'brien`"]),
        *statements.create(login, "ab" * 32, "cd" * 32),
        statements.set_password(login, "ab" * 32),
        *statements.drop(login),
        *statements.canary("canary", "ab" * 32, "default"),
        *statements.end_canary("canary"),
    ]
    for statement in every:
        engine.run(f"EXPLAIN AST {statement}")
        assert (" ON CLUSTER 'pix-els'" in statement) is (cluster is not None), statement


def test_on_a_cluster_policies_and_grants_hold_where_the_rows_are():
    said = "\n".join(Statements("pixeld", Cluster("pixels", "pixeld")).create(Login("client", "shop", "pixeld"), "ab", "cd"))
    for name in READ:
        for table in (name, f"{name}_local"):
            assert said.count(f"ON `pixeld`.`{table}` FOR SELECT") == 3 and f"SELECT ON `pixeld`.`{table}` TO" in said


@pytest.mark.parametrize("id", ["", "-a", "A", "a_b", "a'b", "a`b", "a" * 33, "a\n", "é"])
def test_what_is_no_id_makes_no_login(id):
    with pytest.raises(BadInput, match="is no id"):
        Login("client", id, "pixeld")


def test_no_two_logins_share_a_name():
    ids, databases = ["reader", "role", "client", "a", "a-reader"], ["pixeld", "pixeld_client", "pixeld_client_a", "reader"]
    names = [
        name
        for database, kind, id in itertools.product(databases, ("client", "partner", "analyst"), ids)
        for login in [Login(kind, id, database)]
        for name in (login.name, login.reader, f"{login.name}__role")
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["plain", "it`s", "a\\", "a\\`b", "\n"])
def test_a_quoted_name_is_that_name(engine, name):
    assert engine.run(f"SELECT 1 AS {quoted(name)}") == [{name: 1}]


def test_a_url_for_another_user_keeps_hosts_and_options():
    url = "clickhouse://default:x@one:9000,two:9001/pixeld?secure=1&cluster=pixels"
    assert as_user(url, "a@b", "p/w") == "clickhouse://a%40b:p%2Fw@one:9000,two:9001/pixeld?secure=1&cluster=pixels"
    assert as_user(url, "u", "p", "a-b") == "clickhouse://u:p@one:9000,two:9001/a-b?secure=1"
    assert each_host(url) == [f"clickhouse://default:x@{host}/pixeld?secure=1&cluster=pixels" for host in ("one:9000", "two:9001")]


# ---- servers that have none of it

def test_the_embedded_engine_has_no_logins():
    with pytest.raises(WarehouseRefused, match=r"no logins.*PIXELD_CLICKHOUSE_URL.*portal and the API"):
        Logins(None)


@pytest.mark.services
def test_an_old_server_is_told_apart_and_left_alone(tmp_path):
    with clickhouse_server(tmp_path) as server:
        logins = Logins(server.url())
        for call in (logins.create, logins.drop, lambda login: logins.plan(login, "ab")):
            with pytest.raises(WarehouseRefused, match=r"18\.16.*24\.3 and later.*portal and the API"):
                call(logins.login("client", "shop"))
