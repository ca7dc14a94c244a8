"""Read-only ClickHouse logins for tenants and analysts, as statements. Pure: `pixeld.sql_access` runs them.

A login reads three views in a database of its own and nothing else. The views read pixeld's tables with the rights of a
*reader*, a user that nobody can log in as. What is a tenant's is said twice: in each view's text, and in row policies that
hold for the reader whatever a view says. So a login needs no right to a table, nor to the columns that a view leaves out: the
visitor number, event ids, and what browser or country a single visit or order came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, NamedTuple

from pixeld.domain.tokens import ID
from pixeld.errors import BadInput
from pixeld.storage.features import QUERY_SECONDS, Cluster
from pixeld.storage.warehouse import READ_ONLY_ROWS, escaped

Kind = Literal["client", "partner", "analyst"]
VIEWS = ("transactions", "performance", "audience")


class Relation(NamedTuple):
    """A table or view that the views of a login read."""

    columns: tuple[str, ...]  #: of `client` and `partner`, those that it has
    whole: bool = False  #: a partner's reader reads the other partners' rows too


# Never one that feeds a roll-up: a row policy there holds for the inserts that fill the roll-up as well (seen with 26.9), and
# rows that its owner may not read are missing from it for ever.
READ = {
    # Which partner an order stands with shows only from all its observations: a partner is held to its own in `orders`.
    "order_events": Relation(("client", "partner"), whole=True),
    "order_decisions": Relation(("client",), whole=True),
    "orders": Relation(("client", "partner")),
    "traffic_grains": Relation(("client", "partner")),
    "audience_releases": Relation(("client", "partner")),
}
#: Every other relation of the schema, and why no login reads it.
WITHHELD = {
    "clicks": "single visits with visitor number and browser; performance and audience sum them up",
    "impressions": "the same",
    "refusals": "reported on their own",
    "traffic_hourly": "counts by single traits, however few have them",
    "affinities": "single orders of those who agreed to be counted",
    "forgotten": "click ids of those who do not agree any more",
    "test_order_events": "never reported",
    "schema_migrations": "pixeld's own",
    "traffic_hourly_from_clicks": "fills traffic_hourly",
    "traffic_hourly_from_impressions": "fills traffic_hourly",
    "traffic_grains_from_clicks": "fills traffic_grains",
    "traffic_grains_from_impressions": "fills traffic_grains",
}

# A dashboard's driver sends settings of its own, so that readonly is 2, not 1: then each limit needs its own bound.
_LIMITS = {
    "max_execution_time": QUERY_SECONDS,
    "max_memory_usage": 2**30,
    "max_rows_to_read": 10**9,
    "max_result_rows": READ_ONLY_ROWS,
    "max_threads": 2,
}
_FIXED = {"readonly": "2"} | {f"{what}_overflow_mode": "'throw'" for what in ("read", "result", "timeout")}
_AN_HOUR = {"queries": 1000, "execution_time": 600}  # a dashboard of 10 charts, read anew every minute; seconds


@dataclass(frozen=True, slots=True)
class Login:
    """A login to the pixeld in `database`, and what it sees: a client's or a partner's own; an analyst, every tenant's.

    BadInput when `id` is no id. Neither kinds nor ids have an underscore, and what belongs to a login is its name and two of
    them: so no two share a name, whatever the databases are called.
    """

    kind: Kind
    id: str
    database: str

    def __post_init__(self) -> None:
        if re.fullmatch(ID, self.id, re.ASCII) is None:
            raise BadInput(f"{self.id!r} is no id: lower-case letters, digits and hyphens, at most 32", self.kind)

    @property
    def name(self) -> str:
        """What to log in as. Its database has the same name."""
        return f"{self.database}_{self.kind}_{self.id}"

    @property
    def reader(self) -> str:
        return f"{self.name}__reader"

    @property
    def mine(self) -> str:
        """The condition on a row to be this login's."""
        return "1" if self.kind == "analyst" else f"{self.kind} = '{escaped(self.id)}'"


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements about logins for one server, or for every server of a cluster."""

    database: str
    cluster: Cluster | None

    def admit(self, users: Iterable[str]) -> Iterator[str]:
        """Let `users` see every row, as before: with the first policy on a table, whoever has none sees nothing."""
        for user in users:
            for table in self._tables():
                yield self._policy(f"{self.database}_whole_for_{user}", table, "1", "PERMISSIVE", user)

    def create(self, login: Login, password_sha256: str, reader_sha256: str) -> Iterator[str]:
        """Make `login`, or make it anew. Its right to read comes last: what bounds it is there before."""
        name, role, reader, on = login.name, f"{login.name}__role", login.reader, self._on
        bounded = [f"{key} = {value} MIN 1 MAX {value}" for key, value in _LIMITS.items()]
        settings = ", ".join([*(f"{key} = {value} CONST" for key, value in _FIXED.items()), *bounded])
        quota = ", ".join(f"{key} = {value}" for key, value in _AN_HOUR.items())
        yield f"CREATE DATABASE IF NOT EXISTS {quoted(name)}{on}"
        yield f"CREATE ROLE OR REPLACE {quoted(role)}{on}"
        yield f"CREATE USER OR REPLACE {quoted(reader)}{on} {_identified(reader_sha256)} HOST NONE"
        yield f"CREATE USER OR REPLACE {quoted(name)}{on} {_identified(password_sha256)} DEFAULT DATABASE {quoted(name)}"
        yield f"CREATE SETTINGS PROFILE OR REPLACE {quoted(name)}{on} SETTINGS {settings} TO {quoted(role)}, {quoted(name)}"
        yield f"CREATE QUOTA OR REPLACE {quoted(name)}{on} FOR INTERVAL 1 hour MAX {quota} TO {quoted(role)}, {quoted(name)}"
        for table, relation in self._tables().items():
            readable = "1" if login.kind == "partner" and relation.whole else login.mine
            yield self._policy(f"{name}__rows", table, readable, "PERMISSIVE", reader)
            yield self._policy(f"{name}__reader_only", table, readable, "RESTRICTIVE", reader)
            own = login.mine if login.kind == "analyst" or login.kind in relation.columns else "0"
            yield self._policy(f"{name}__only", table, own, "RESTRICTIVE", name)
        for table in self._tables():
            yield f"GRANT{on} SELECT ON {self._path(table)} TO {quoted(reader)}"
        for view in VIEWS:
            path = f"{quoted(name)}.{view}"
            yield f"CREATE OR REPLACE VIEW {path}{on} DEFINER = {quoted(reader)} SQL SECURITY DEFINER AS\n{_view(view, login)}"
            yield f"GRANT{on} SELECT ON {path} TO {quoted(role)}"
        yield f"GRANT{on} {quoted(role)} TO {quoted(name)}"

    def set_password(self, login: Login, password_sha256: str) -> str:
        """Let `login` in with that password from now on."""
        return f"ALTER USER {quoted(login.name)}{self._on} {_identified(password_sha256)}"

    def drop(self, login: Login) -> Iterator[str]:
        """Take away all that `create` makes, whatever of it is there. The login goes first, what bounds it last."""
        name, on = login.name, self._on
        yield f"DROP USER IF EXISTS {quoted(name)}{on}"
        yield f"DROP DATABASE IF EXISTS {quoted(name)}{on}"
        yield f"DROP USER IF EXISTS {quoted(login.reader)}{on}"
        yield f"DROP ROLE IF EXISTS {quoted(f'{name}__role')}{on}"
        for table in self._tables():
            for policy in ("rows", "reader_only", "only"):
                yield f"DROP ROW POLICY IF EXISTS {quoted(f'{name}__{policy}')}{on} ON {self._path(table)}"
        yield f"DROP QUOTA IF EXISTS {quoted(name)}{on}"
        yield f"DROP SETTINGS PROFILE IF EXISTS {quoted(name)}{on}"

    def canary(self, name: str, password_sha256: str, owner: str) -> Iterator[str]:
        """A view with one row and a policy for somebody else, and a user who may read it and should see nothing."""
        path, on = self._path(name), self._on
        yield f"CREATE VIEW {path}{on} AS SELECT 1 AS n"
        yield self._policy(name, name, "1", "PERMISSIVE", owner)
        yield f"CREATE USER {quoted(name)}{on} {_identified(password_sha256)}"
        yield f"GRANT{on} SELECT ON {path} TO {quoted(name)}"

    def end_canary(self, name: str) -> Iterator[str]:
        """Take it away again."""
        yield f"DROP USER IF EXISTS {quoted(name)}{self._on}"
        yield f"DROP ROW POLICY IF EXISTS {quoted(name)}{self._on} ON {self._path(name)}"
        yield f"DROP VIEW IF EXISTS {self._path(name)}{self._on}"

    @property
    def _on(self) -> str:
        return f" ON CLUSTER '{self.cluster.name}'" if self.cluster else ""

    def _path(self, table: str) -> str:
        return f"{quoted(self.database)}.{quoted(table)}"

    def _tables(self) -> dict[str, Relation]:
        shards = {f"{name}_local": relation for name, relation in READ.items()} if self.cluster else {}
        return READ | shards

    def _policy(self, name: str, table: str, condition: str, kind: str, user: str) -> str:
        head = f"CREATE ROW POLICY OR REPLACE {quoted(name)}{self._on} ON {self._path(table)}"
        return f"{head} FOR SELECT USING {condition} AS {kind} TO {quoted(user)}"


def refusals(login: Login) -> Sequence[str]:
    """What `login` must not be able to ask: each is refused for want of a right."""
    path = quoted(login.database)
    return [f"SELECT count() FROM {path}.{quoted(name)}" for name in (*READ, *WITHHELD)]  # noqa: S608 - of our own names


def strangers(login: Login) -> Sequence[str]:
    """What `login` asks to find rows that aren't its own: each gives `n` = 0."""
    path = quoted(login.name)
    return [f"SELECT count() AS n FROM {path}.{view} WHERE NOT ({login.mine})" for view in VIEWS]  # noqa: S608 - an id is checked


def quoted(name: str) -> str:
    """An identifier, whatever is in it."""
    return "`" + escaped(name).replace("`", r"\`") + "`"


def _identified(password_sha256: str) -> str:
    return f"IDENTIFIED WITH sha256_hash BY '{escaped(password_sha256)}'"


def _view(view: str, login: Login) -> str:
    text = files("pixeld.storage").joinpath("sql", f"tenant_{view}.sql").read_text(encoding="utf-8")
    return text.replace("{{database}}", quoted(login.database)).replace("{{mine}}", login.mine).rstrip()
