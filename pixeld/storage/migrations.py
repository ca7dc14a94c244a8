"""Schema migrations: `sql/NNNN_name.sql`, one statement a file, applied in order, recorded in `schema_migrations`.

On a cluster a file's one statement becomes two, see `Features.render`.

Every statement is `CREATE … IF NOT EXISTS`, so that a run that died between a statement and its record is simply run again,
and two runs at once do no harm. A file never changes once it was released: its hash is checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import orjson

from pixeld.errors import MigrationError
from pixeld.storage.features import Features
from pixeld.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, and its text before placeholders are filled in."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    def statements(self, features: Features) -> list[str]:
        """What is sent to a server with these features."""
        return features.render(self.text)

    def __str__(self) -> str:
        return f"{self.number:04}_{self.name}"


@dataclass(frozen=True, slots=True)
class State:
    """A migration and when it was applied (UTC, `YYYY-MM-DD hh:mm:ss`); None while it isn't."""

    migration: Migration
    applied_at: str | None


def known() -> list[Migration]:
    """The migrations that this version of pixeld ships, in order."""
    found = []
    for file in files("pixeld.storage").joinpath("sql").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)


async def status(warehouse: Warehouse, migrations: Sequence[Migration] | None = None) -> list[State]:
    """Every known migration with its state. MigrationError when the database has one that this version doesn't know, or one
    whose file has changed since, or when it is a cluster's and the URL names none, or the other way round."""
    migrations = known() if migrations is None else migrations
    applied = await _applied(warehouse)
    by_number = {migration.number: migration for migration in migrations}
    for number, (name, digest, _) in sorted(applied.items()):
        migration = by_number.get(number)
        if migration is None:
            raise MigrationError(
                f"the database has migration {number:04}_{name}, which this version of pixeld does not know "
                f"(its newest is {max(by_number, default=0):04}): a newer pixeld made it, run that one"
            )
        if migration.sha256 != digest:
            raise MigrationError(
                f"migration {migration} was applied with another content ({digest[:12]}…, the file has "
                f"{migration.sha256[:12]}…): a released migration never changes, so restore the file"
            )
    return [State(m, applied[m.number][2] if m.number in applied else None) for m in migrations]


async def apply(warehouse: Warehouse, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Bring the database to this version's schema; the migrations that this call ran. Raises MigrationError like `status`."""
    ran = []
    for state in await status(warehouse, migrations):
        if state.applied_at is None:
            migration = state.migration
            for statement in migration.statements(warehouse.features):
                await warehouse.command(statement)
            record = orjson.dumps((migration.number, migration.name, migration.sha256))
            token = f"migration-{migration}-{migration.sha256}"
            await warehouse.insert("schema_migrations", ("number", "name", "sha256"), [record], token)
            ran.append(migration)
    return ran


async def _applied(warehouse: Warehouse) -> dict[int, tuple[str, str, str]]:
    """number → (name, sha256, applied at)."""
    there = "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    found = await warehouse.query(there, {})
    if not found:
        return {}
    if (found[0]["engine"] == "Distributed") is not (warehouse.features.cluster is not None):
        raise MigrationError(
            "the database was made for a single server: name another one, or leave `cluster` out of the ClickHouse URL"
            if warehouse.features.cluster
            else "the database was made for a cluster: name that in the ClickHouse URL (`?cluster=…`)"
        )
    sql = (
        "SELECT number, name, sha256, toString(min(applied_at)) AS first_applied_at "
        "FROM schema_migrations GROUP BY number, name, sha256"
    )
    rows = await warehouse.query(sql, {})
    return {row["number"]: (row["name"], row["sha256"], row["first_applied_at"]) for row in rows}
