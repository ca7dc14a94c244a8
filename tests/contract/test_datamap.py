"""Nothing is kept that the data map doesn't name, and it names nothing that isn't there."""

import ast
import os
import re
import signal
from pathlib import Path

import pytest
from aiohttp import ClientSession, DummyCookieJar

from pixeld import privacy
from pixeld.accounts.links import LIFE_S
from pixeld.accounts.outbox import KEPT_S
from pixeld.accounts.sessions import LONGEST_S
from pixeld.domain import optout
from pixeld.errors import SettingsError
from pixeld.parts.listening import load_policy
from pixeld.settings import Settings
from pixeld.storage import keys, migrations
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import connect
from pixeld.web.portal.pages import NOTICE_S
from tests.flow.test_no_trace import register, visit
from tests.process import pixeld

PACKAGE = Path(__file__).parents[2] / "pixeld"
MAP = privacy.default_map()
HOLDERS = (*(item for statement in MAP.statements for item in statement.data), *MAP.accounts, *MAP.machinery)
NOT_EVERYWHERE = {"house.sock", "vault-keys", "signing-keys", "spill/*", "admin-token"}
#: It plays a shop, and only in the demo: what a shop sets is on the shop's own page.
OF_A_SHOP = PACKAGE / "web" / "demo.py"


def named(kind):
    return {name for holder in HOLDERS for name in getattr(holder.places, kind)}


def matches(pattern, text):
    return re.fullmatch(".+".join(map(re.escape, pattern.split("*"))), text) is not None


async def test_every_column(tmp_path):
    warehouse = open_warehouse(None, tmp_path)
    try:
        await warehouse.connect()
        await migrations.apply(warehouse)
        rows = await warehouse.query(
            "SELECT concat(table, '.', name) AS name FROM system.columns WHERE database = currentDatabase() AND table IN "
            "(SELECT name FROM system.tables WHERE database = currentDatabase() AND engine NOT IN ('View', 'MaterializedView'))",
            {},
        )
    finally:
        await warehouse.close()
    assert {row["name"] for row in rows} == named("columns")


def record_kinds():
    """Every kind of record that accounts keep: the first argument of what they ask `ports.Records`."""
    found = set()
    for path in (PACKAGE / "accounts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("read", "write", "take", "delete", "ids", "count")
                and ast.unparse(node.func.value) in ("self", "self._records", "records", "self.records", "office.records")
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(node.args[0].value)
    return found


def redis_keys():
    """Every key that there can be, with `*` for what differs."""
    found = set()
    for name, value in vars(keys).items():
        if isinstance(value, str) and not name.startswith("__"):
            found.add(value)
        elif callable(value) and value.__module__ == keys.__name__ and name not in ("record", "records"):
            found.add(re.sub(r"\*/\*$", "*", value(*"*" * value.__code__.co_argcount)))
    kinds = record_kinds()
    return found | {keys.record(kind, "*") for kind in kinds} | {keys.records(kind) for kind in kinds}


def test_every_key_of_redis():
    assert redis_keys() == named("keys")


def written_out(value, tree):
    """The dicts that an `extra=`, or a part of one, may be: itself, what its name was given, what its method returns."""
    if isinstance(value, ast.Dict):
        yield value
    elif isinstance(value, ast.Name):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets):
                yield from written_out(node.value, tree)
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and ast.unparse(value.func.value) == "self":
        (method,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == value.func.attr)
        for node in ast.walk(method):
            if isinstance(node, ast.Return):
                yield from written_out(node.value, tree)


def fields(value, tree):
    """The names under which an `extra=` is written."""
    written = list(written_out(value, tree))
    assert written, f"nobody can tell what {ast.unparse(value)} is"
    for each in written:
        for key, inner in zip(each.keys, each.values, strict=True):
            if key is None:
                yield from fields(inner, tree)
            elif isinstance(key, ast.Name):  # a constant of the module
                yield from (n.value.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == key.id)
            else:
                yield key.value


def log_fields():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "extra":
                yield from fields(node.value, tree)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "logs.configure":
                yield from (keyword.arg for keyword in node.keywords)


def formatted():
    """What JsonFormatter writes by itself: the keys of its `entry`."""
    for node in ast.walk(ast.parse((PACKAGE / "logs.py").read_text())):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "entry":
            yield from (key.value for key in node.value.keys)
        elif isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Subscript):
            yield target.slice.value


def test_every_field_of_the_log():
    assert set(formatted()) | set(log_fields()) == named("log")


def spelt(name, tree):
    """What a cookie's name in a module may be: a text, its constant, or what its functions are given for an argument."""
    if isinstance(name, ast.Constant):
        yield name.value
        return
    assert isinstance(name, ast.Name), f"nobody can tell what {ast.unparse(name)} is"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name.id:
            yield from spelt(node.value, tree)
        elif isinstance(node, ast.FunctionDef) and name.id in (arguments := [argument.arg for argument in node.args.args]):
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == node.name:
                    yield from spelt(call.args[arguments.index(name.id)], tree)


def set_by_pages():
    for path in sorted(set(PACKAGE.rglob("*.py")) - {OF_A_SHOP}):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "set_cookie":
                names = list(spelt(node.args[0], tree))
                assert names, f"nobody can tell what {ast.unparse(node)} sets"
                yield from names


def cookies():
    for public_url in ("http://localhost:8000", "https://track.example"):
        settings = Settings(public_url=public_url)
        yield from (settings.referral_cookie, settings.landing_cookie)
    yield optout.SET.partition("=")[0]
    yield from set_by_pages()


def test_every_cookie():
    assert set(cookies()) == named("cookies")
    by_hand = {path.name for path in PACKAGE.rglob("*.py") if "Set-Cookie: " in path.read_text()}
    assert by_hand == {"replies.py"}  # which is given the names of `settings`


def test_a_map_that_lets_the_cookie_of_who_opts_out_go_sooner_than_it_does_is_refused(tmp_path):
    shipped = (PACKAGE / "privacy" / "default.toml").read_text(encoding="utf-8")
    before, _, after = shipped.partition('what = "The words OPT_OUT."')
    own = tmp_path / "privacy.toml"
    own.write_text(f'{before}what = "The words OPT_OUT."{after.replace("= 400", "= 399", 1)}', encoding="utf-8")
    with pytest.raises(SettingsError, match="cookie ID of whoever opts out stay 399 days, and it stays 400"):
        load_policy(Settings(privacy_file=own))
    assert load_policy(Settings())[0].cookies[optout.NAME] == optout.DAYS


def test_days_of_tables_are_said_nowhere_but_in_kept_days():
    said = {holding.kept for holding in (*MAP.accounts, *MAP.machinery) if holding.places.columns}
    assert said and not any(re.search(r"\d", kept) for kept in said)


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        ("A cookie, __Host-pixeld,", LONGEST_S),
        ("A cookie, __Host-pixeld-notice", NOTICE_S),
        ("Links of one use", max(LIFE_S.values())),
        ("Mails that this server writes", KEPT_S),
    ],
    ids=["sessions", "notices", "links", "mails"],
)
def test_what_accounts_have_ends_when_the_map_says(what, seconds):
    (holding,) = (holding for holding in MAP.accounts if holding.what.startswith(what))
    number, unit = re.fullmatch(r"at most (\d+) (seconds|hours|days)", holding.kept).groups()
    assert int(number) * {"seconds": 1, "hours": 3600, "days": 86_400}[unit] == seconds


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1], ids=["one process", "a worker"])
async def test_every_key_and_file_that_a_run_leaves(tmp_path, workers):
    data = tmp_path / "data"
    async with pixeld(data, workers=workers) as server, ClientSession(cookie_jar=DummyCookieJar()) as session:
        await server.ready()
        await register(session, server.url)
        await visit(session, server.url)
        valkey = int((data / "redis" / "redis.pid").read_text())
        os.kill(valkey, signal.SIGSTOP)  # so that there is something in the spill
        await visit(session, server.url)
        there = left(data)
        os.kill(valkey, signal.SIGCONT)
        await server.ready()
        assert (await server.api("POST", "/api/flush"))[0] == 200
        redis = connect(f"unix://{data / 'redis' / 'redis.sock'}", 5.0)
        found = {key.decode() for key in await redis.keys("*")}
        await redis.aclose()
        there |= left(data)
    there |= left(data)
    assert any(name.startswith("spill/") or "/spill/" in name for name in there)
    assert {key for key in found if not any(matches(pattern, key) for pattern in named("keys"))} == set()
    assert {name for name in there if not any(matches(pattern, name) for pattern in named("files"))} == set()
    unused = {pattern for pattern in named("files") if not any(matches(pattern, name) for name in there)}
    assert {pattern for pattern in unused if pattern.startswith("workers/") is bool(workers)} <= NOT_EVERYWHERE


def left(directory):
    """Every file and socket. What goes meanwhile, as the engine's own folders do, is let go: `Path.rglob` would raise."""
    return {str(Path(folder, name).relative_to(directory)) for folder, _, names in os.walk(directory) for name in names}
