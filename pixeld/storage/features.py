"""What a ClickHouse server can do, alone or in a cluster, and what it is sent therefore."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: A report may run this long, and whoever asks waits longer than that for it: otherwise the server works on for nobody.
QUERY_SECONDS = 30

# One block, however many rows: an insert is one part, all or nothing, and a repeat splits the same way (not at all). The
# second 0 turns the limit in bytes off.
_ONE_BLOCK = {"max_insert_block_size": 2**32, "min_insert_block_size_rows": 2**32, "min_insert_block_size_bytes": 0}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, by the name that its servers' `remote_servers` give it, and pixeld's database on it. Both need no quotes."""

    name: str
    database: str


# Blocks that a replicated table remembers, and for how long. A batch that is tried again is recognised while at most this many
# others came between: a server of pixeld sends one a second, and ten of them leave it a quarter of an hour. Some 200 bytes of
# ZooKeeper's memory each. Seven days, because one shard may be away for a weekend after the other took its part.
_BLOCKS = "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
# How long a server waits for another one: much longer than an insert takes, and shorter than pixeld waits for both.
_BETWEEN_SERVERS_S = 20
# How long CREATE … ON CLUSTER waits for servers that are down; those that are up take 0.2 s. (18.16 reads half of it.)
_DDL_S = 6


@dataclass(frozen=True, slots=True)
class Features:
    """What a server of this version can do, alone or in its cluster. The only place that compares versions.

    Each bound is a release that surely has the feature, not always the first one. Debian's 18.16 has none of them: its
    tables take plain Strings, a repeated insert is stored twice (at least once) unless they are replicated, and an insert
    is not fsynced.
    """

    version: str
    cluster: Cluster | None
    low_cardinality: bool  #: LowCardinality(String) without an experimental setting
    ttl: bool  #: TTL in CREATE TABLE
    fsync: bool  #: fsync_after_insert, fsync_part_directory
    insert_tokens: bool  #: insert_deduplication_token, and a window for tables that are not replicated
    server_parameters: bool  #: `{name:Type}` over the native protocol
    ephemeral: bool  #: columns that are there for the defaults of others while rows are inserted, and are not stored
    scalars: bool  #: a subquery for one value runs once a statement, wherever that has it, and however large the value is
    logins: bool  #: users, roles, quotas and row policies by SQL, and views that read with a user's rights of their own

    @classmethod
    def of(cls, version: str, cluster: Cluster | None = None) -> Features:
        """The features of `"26.9.2.1"`. ValueError when that is not a version."""
        major, minor, *_ = (int(part) for part in version.split(".")[:2])
        release = (major, minor)
        return cls(
            version=version,
            cluster=cluster,
            low_cardinality=release >= (20, 3),
            ttl=release >= (20, 3),
            fsync=release >= (21, 3),
            insert_tokens=release >= (22, 3),
            server_parameters=release >= (22, 8),
            # Not in a cluster: there a row's shard is found, and a repeated block known, by what it holds.
            ephemeral=release >= (22, 8) and cluster is None,
            # Not in a cluster: its servers would be sent the value. (18.16 gains nothing.)
            scalars=release >= (24, 3) and cluster is None,
            logins=release >= (24, 3),
        )

    @property
    def exactly_once(self) -> bool:
        """Whether a batch that is sent again is stored once: known by its token, or, to replicated tables, by its content."""
        return self.insert_tokens or self.cluster is not None

    @property
    def drops_old_parts(self) -> bool:
        """Whether dropping a partition, even one that isn't there, deletes a table's replaced parts at once."""
        return self.insert_tokens and self.cluster is None

    @property
    def drops_partitions(self) -> bool:
        """Whether any server can drop a partition. In an old cluster a shard's leader can, whom the others ask in vain where
        the user `default` has a password.
        """
        return self.ttl or self.cluster is None

    @property
    def leaves_orphans(self) -> bool:
        """Whether a replica that lost ZooKeeper in the middle of an insert may show those rows twice until it is restarted.

        Later versions look after such a part themselves, 5 minutes later (surely since the release that this asks for).
        """
        return self.cluster is not None and not self.insert_tokens

    @property
    def roll_ups(self) -> bool:
        """Whether roll-ups are kept; else reports read single events.

        Not by a cluster without tokens: there a block that the table has already never reaches its views, so that a server
        that dies between the two leaves the roll-ups short for ever.
        """
        return self.insert_tokens or self.cluster is None

    def insert_settings(self, token: str) -> dict[str, str | int]:
        """Settings of one insert. Explicit, because servers' defaults differ: async_insert is 1 since 26.3."""
        settings: dict[str, str | int] = {"insert_deduplicate": 1}
        if self.cluster:
            # Answered when every shard has its rows. A row's shard follows from its content, and so does the block that a
            # shard gets: a repeat through any server is the same blocks in the same places, and those are dropped.
            settings |= {"insert_distributed_sync": 1, **self._between_servers(_BETWEEN_SERVERS_S)}
        if self.insert_tokens:
            settings |= {
                "async_insert": 0,
                "deduplicate_blocks_in_dependent_materialized_views": 1,
                "insert_deduplication_token": token,
                "optimize_on_insert": 0,  # merging what the roll-ups' GROUP BY has just made costs a quarter of an insert
                **_ONE_BLOCK,
            }
        return settings

    def query_settings(self) -> dict[str, str | int]:
        """Settings of one query."""
        if self.cluster is None:
            return {}
        return {
            "distributed_product_mode": "global",  # a subquery is asked of all shards once, not of each for itself
            # Of a shard's replicas not one that knows of rows and has not fetched them for a second, unless all are like that.
            "max_replica_delay_for_distributed_queries": 1,
            **self._between_servers(QUERY_SECONDS),
        }

    @staticmethod
    def _between_servers(seconds: int) -> dict[str, str | int]:
        """In order, so that a query asks the replicas that the inserts went to, which have them first."""
        return {
            "load_balancing": "in_order",
            "connect_timeout_with_failover_ms": 1000,  # 50 by default: too short for a busy server
            "send_timeout": seconds,
            "receive_timeout": seconds,
        }

    def command_settings(self) -> dict[str, str | int]:
        """Settings of a statement that has no result."""
        return {"distributed_ddl_task_timeout": _DDL_S} if self.cluster else {}

    def create_database(self, name: str) -> str:
        """The statement that makes the database `name`, on every server of the cluster."""
        return f"CREATE DATABASE IF NOT EXISTS {name}{self._on_cluster()}"

    def stored(self, table: str) -> str:
        """The name of the table where the rows of `table` are, on each server."""
        return f"{table}_local" if self.cluster else table

    def alter(self, table: str) -> str:
        """How a statement begins that alters the table where the rows of `table` are, on every server of a cluster."""
        name = f"{self.cluster.database}.{table}_local" if self.cluster else table
        return f"ALTER TABLE {name}{self._on_cluster()}"

    def everywhere(self, table: str) -> str:
        """What a query reads to see a table of the system on one replica of every shard."""
        return f"cluster('{self.cluster.name}', {table})" if self.cluster else table

    def _on_cluster(self) -> str:
        return f" ON CLUSTER '{self.cluster.name}'" if self.cluster else ""

    def render(self, migration: str) -> list[str]:
        """A migration's statements for this server; none for a roll-up where none are kept. Fills in its placeholders:

        `{{create NAME}}` and `{{stored NAME}}` name the table where rows are, which on a cluster is NAME_local, `{{engine X}}`
        or `{{engine X ARGUMENT}}` is its engine, and `{{spread EXPRESSION}}`, on the last line, makes NAME a table over those
        of all shards: a row is on the shard that EXPRESSION gives. `{{roll_up}}` marks roll-ups; `{{text}}`, `{{passing}}` and
        `{{durable}}` are a type, a column that is not stored, and settings, where the server has them. `{{keep COLUMN}}` is
        for `storage.retention`.
        """
        if "{{roll_up}}" in migration and not self.roll_ups:
            return []
        created = re.search(r"\{\{create (\w+)\}\}", migration)
        spread = re.search(r"\n\{\{spread (.+)\}\}\s*$", migration)
        name, cluster = created[1] if created else "", self.cluster
        settings, replicated, arguments = [], "", ""
        if cluster:
            path = f"/clickhouse/tables/{{shard}}/{cluster.database}/{name}"
            replicated, arguments = "Replicated", f"'{path}', '{{replica}}'"
            settings.append(_BLOCKS)
        elif self.insert_tokens:
            # A repeat is recognised while at most this many other inserts came between.
            settings.append("non_replicated_deduplication_window = 1000")
        if self.fsync:
            # An acknowledged insert survives a power failure. Costs 5 ms a part, however large (one fsync took 0.3 ms here):
            # 15 ms for clicks, whose two roll-ups are parts too, 5 ms for orders; a flush comes once a second.
            settings += ["fsync_after_insert = 1", "fsync_part_directory = 1"]
        local = rf"{cluster.database}.\1_local" if cluster else r"\1"
        filled = migration[: spread.start()] if spread else migration
        for placeholder, text in (
            (r"\{\{roll_up\}\}\n", ""),
            (r"\{\{create (\w+)\}\}", local + self._on_cluster()),
            (r"\{\{stored (\w+)\}\}", local),
            (r"\{\{engine (\w+)\}\}", rf"{replicated}\1({arguments})" if arguments else r"\1"),
            (r"\{\{engine (\w+) (\w+)\}\}", rf"{replicated}\1({arguments + ', ' if arguments else ''}\2)"),
            (r" \{\{passing\}\}", " EPHEMERAL" if self.ephemeral else ""),
            (r"\{\{text\}\}", "LowCardinality(String)" if self.low_cardinality else "String"),
            (r"\{\{keep \w+\}\}\n", ""),
            (r"\{\{durable\}\}", f"SETTINGS {', '.join(settings)}" if settings else ""),
        ):
            filled = re.sub(placeholder, text, filled)
        statements = [filled.rstrip()]
        if spread and cluster:
            table, arguments = f"{cluster.database}.{name}", f"'{cluster.name}', {cluster.database}, {name}_local"
            statements.append(
                f"CREATE TABLE IF NOT EXISTS {table}{self._on_cluster()} AS {table}_local\n"
                f"ENGINE = Distributed({arguments}, {spread[1]})"
            )
        return statements
