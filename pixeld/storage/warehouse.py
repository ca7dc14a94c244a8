"""ClickHouse, as a server or as an engine in this process: what both have in common, and the way in to either.

A `Warehouse` has roles, insert and query foremost. Each owns one thread and one connection on it, so that a slow report never
stalls ingest and nothing here ever runs on the event loop. A connection that failed is thrown away; the next call makes anew.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import orjson

from pixeld.domain.ports import Row
from pixeld.errors import WarehouseAway, WarehouseRefused
from pixeld.storage.features import Features

T = TypeVar("T")
Params = Mapping[str, str | int]

#: An insert's patience with a server that says nothing. (Whoever waits for a report is told much earlier.)
NETWORK_SECONDS = 60

_MENDING_S = 10.0
_SETTLING_S = 0.05  # a replica fetches a new part within some 20 ms


# A hand-written query that forgot its LIMIT must not take the memory of the process that answers.
READ_ONLY_ROWS = 100_000
READ_ONLY: dict[str, str | int] = {"readonly": 2, "max_result_rows": READ_ONLY_ROWS, "result_overflow_mode": "throw"}
_FILES = re.compile(
    r"\binto\s+outfile\b|\b(file|fileCluster|url|urlCluster|s3|hdfs|executable|python|input)\s*\(", re.IGNORECASE
)


# Codes of ClickHouse's ErrorCodes.cpp that say something about the server or its set-up, not about the rows or the
# statement: the same call works once that is mended. A missing table or a wrong password is among them, because rows that
# are refused end in the dead-letter stream, and a mistake in the set-up must not send a whole backlog there.
_TRY_LATER = frozenset(
    {
        3, 16, 32, 33, 60, 81, 115,  # unexpected end of file (3, 32, 33), no such column, unknown table, database, setting
        74, 75, 76, 77,  # cannot read, write, open or close a file
        139, 170,  # no such macro, no such cluster
        159, 160, 164, 173,  # timeout, too slow, read-only, cannot allocate memory
        192, 193, 194, 195, 497, 516,  # who we are: unknown user, wrong password, address not allowed, access denied
        198, 201, 202, 203, 209, 210,  # host name, quota, too many queries, no free connection, socket timeout, network
        225, 236, 241, 242, 243, 252,  # no ZooKeeper, aborted, memory, table is read-only, disk space, too many parts
        244,  # ZooKeeper, again
        279, 285, 286, 319, 394, 425, 439,  # connections failed, replicas, quorum, unknown status, cancelled, system
        452, 999, 1000, 1001,  # setting not allowed, Keeper, exceptions of the libraries underneath (I/O)
    }
)  # fmt: skip


def failure(code: int, message: str, where: str) -> WarehouseAway | WarehouseRefused:
    """The error for a ClickHouse exception. Only its first line is passed on, as what follows are stack traces and row values,
    and that without the piece of a row that it may quote: it is logged, where nothing is ever erased.
    """
    reason = message.strip().split("Stack trace", 1)[0].split("\n", 1)[0].removeprefix("DB::Exception: ").strip()
    reason = _QUOTED.sub(r"\1'…'", reason)[:500]
    if code in _TRY_LATER:
        return WarehouseAway(f"ClickHouse ({where}) cannot do it now: {reason} (code {code})")
    return WarehouseRefused(f"ClickHouse ({where}) refused: {reason} (code {code})", code)


_QUOTED = re.compile(r"(before: |string )'(?:.*'|.*$)")  # how the engine shows what it could not read

# Codes that blame the rows of an insert: text that can't be parsed or converted, values out of range, broken constraints. Only
# these send rows to the dead letters; whatever else an insert meets, known today or not, is tried again.
_ROWS_TO_BLAME = frozenset({6, 25, 26, 27, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 395, 407, 441, 469, 611, 675, 676})


#: Every integer column there is, with its bounds; all other columns are text. `at` is a DateTime (32 bits of seconds) that
#: the table derives from `at_ms`, hence that bound.
INTEGERS = {
    "at_ms": (0, 1000 * 2**32 - 1),
    "visitor": (0, 2**64 - 1),
    "clicked_at": (0, 2**32 - 1),
    "amount_minor": (-(2**63), 2**63 - 1),
    "commission_minor": (-(2**63), 2**63 - 1),
    "locks_at": (0, 2**32 - 1),
    "number": (0, 2**32 - 1),
    "day": (0, 2**16 - 1),
    "visitors": (0, 2**64 - 1),
    "k": (0, 2**32 - 1),
    "released_ms": (0, 2**64 - 1),
}
_AT_ONCE = 500  # rows decoded without giving the event loop a chance to run: 0.6 ms


def transposed(columns: Sequence[str], rows: Sequence[Row]) -> list[list[str | int]]:
    """`rows` by column, checked: WarehouseRefused for a row that is too long or short, or a value of a wrong type or size."""
    values: list[list[str | int]] = [[] for _ in columns]
    for begin in range(0, len(rows), _AT_ONCE):
        try:
            decoded = orjson.loads(b"[%b]" % b",".join(rows[begin : begin + _AT_ONCE]))
            found: list[tuple[str | int, ...]] = list(zip(*decoded, strict=True))
        except orjson.JSONDecodeError as error:
            raise WarehouseRefused(f"a row is not JSON: {error}") from None
        except (ValueError, TypeError):
            raise WarehouseRefused("the rows are not all of one length") from None
        if len(found) != len(columns):
            raise WarehouseRefused(f"a row has {len(found)} values for {len(columns)} columns")
        for name, column, more in zip(columns, values, found, strict=True):
            _check(name, more)
            column += more
    return values


def _check(name: str, column: Sequence[str | int]) -> None:
    bounds = INTEGERS.get(name)
    if set(map(type, column)) != {int if bounds else str}:
        raise WarehouseRefused(f"a value of {name} is not {'an integer' if bounds else 'text'}")
    if bounds and (min(column) < bounds[0] or max(column) > bounds[1]):  # type: ignore[operator]
        raise WarehouseRefused(f"a value of {name} is not within {bounds[0]} to {bounds[1]}")


_ESCAPES = str.maketrans(
    {"\\": r"\\", "'": r"\'", "\n": r"\n", "\t": r"\t", "\r": r"\r", "\b": r"\b", "\f": r"\f", "\0": r"\0"}
)


def escaped(text: str) -> str:
    """`text` as it stands between the quotes of a literal, and as the value of a parameter, which is read as TSV."""
    return text.translate(_ESCAPES)


class Link(Protocol):
    """One synchronous connection, used by one thread. Every method raises WarehouseAway or WarehouseRefused."""

    features: Features

    def preferred(self) -> bool:
        """Whether this is the host to go on with, as far as every connection's calls tell."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], token: str) -> None:
        """Insert `rows` as one block."""

    def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        """Run one SELECT."""

    def everywhere(self, sql: str) -> list[dict[str, Any]]:
        """Run one SELECT at every server of the URL; all their rows."""

    def settled(self) -> bool:
        """Whether queries see everything that was inserted before."""

    def mend(self) -> None:
        """Take away what servers hold that they should not, where they don't do so themselves."""

    def restrict(self) -> None:
        """From now on only read, and give at most READ_ONLY_ROWS rows: for what an operator types."""

    def command(self, sql: str) -> None:
        """Run one statement that has no result."""

    def close(self) -> None:
        """Let go. Never raises."""


class _Role:
    """One thread and the connection it owns. `niceness` is the thread's, and that of threads which the connection starts."""

    def __init__(self, name: str, connect: Callable[[], Link], niceness: int = 0) -> None:
        self._connect, self._niceness = connect, niceness
        self._thread = ThreadPoolExecutor(1, f"warehouse-{name}", self._begin)
        self._link: Link | None = None
        self._away = (0.0, "")  # when, and why, it could not be connected last
        self._closed = False

    def _begin(self) -> None:
        if self._niceness and sys.platform == "linux":  # elsewhere a thread has none of its own
            thread, as_started = threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0)
            with suppress(OSError):  # it is slower without, not wrong
                os.setpriority(os.PRIO_PROCESS, thread, max(as_started, self._niceness))  # less is for root alone

    async def run(self, work: Callable[[Link], T]) -> T:
        """Do `work` on the thread, connected. What waits for it may be cancelled; `work`, once begun, goes on to its end.

        Of all who wait while a server hangs, one waits for a connection in vain, and all are told at once.
        """
        if self._closed:
            raise WarehouseAway("the connection to ClickHouse was closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work, time.monotonic())

    def _run(self, work: Callable[[Link], T], asked: float) -> T:
        if self._link is not None and not self._link.preferred():
            self._drop()
        if self._link is None:
            self._link = self._connected(asked)
        try:
            return work(self._link)
        except BaseException:
            self._drop()
            raise

    def _connected(self, asked: float) -> Link:
        failed, why = self._away
        if asked < failed:
            raise WarehouseAway(why)
        try:
            return self._connect()
        except WarehouseAway as error:
            self._away = (time.monotonic(), str(error))
            raise

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
            self._thread.shutdown()


class Warehouse:
    """`domain.ports.Warehouse` over either engine, and the statements that migrations need. `niceness` is that of the
    roles' threads, and of those that their connections start.
    """

    def __init__(self, connect: Callable[[], Link], *, niceness: int = 0) -> None:
        self._connect = connect
        self._features: Features | None = None
        self._insert = _Role("insert", self._link, niceness)
        self._query = _Role("query", self._link, niceness)
        self._reader = _Role("reader", self._restricted, niceness)
        self._mender = _Role("mender", self._link, niceness)

    def _link(self) -> Link:
        link = self._connect()
        self._features = link.features  # of the newest connection: a server may have been upgraded meanwhile
        return link

    def _restricted(self) -> Link:
        link = self._link()
        link.restrict()
        return link

    async def connect(self) -> None:
        """Connect the two roles that are sure to be used. WarehouseAway names the address and the reason.

        Not required: a role connects by itself when it is first used, and again after an error.
        """
        for role in (self._insert, self._query):
            await role.run(lambda link: None)

    async def close(self) -> None:
        """Wait for what is under way (bounded by the engines' timeouts), then disconnect."""
        await asyncio.gather(*(role.close() for role in (self._insert, self._query, self._reader, self._mender)))

    @property
    def features(self) -> Features:
        """What the server can do. WarehouseAway before the first connection."""
        if self._features is None:
            raise WarehouseAway("ClickHouse has not been connected to yet")
        return self._features

    async def known(self) -> Features:
        """What the server can do, asked of it if need be. WarehouseAway as from `query`."""
        if self._features is None:
            await self._query.run(lambda link: None)
        return self.features

    @property
    def version(self) -> str:
        """The server's version, such as `26.9.2.1`."""
        return self.features.version

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], token: str) -> None:
        """As in `domain.ports.Warehouse`. All rows must be of one partition, a month or a day: a part never spans two."""
        if not rows:
            return
        try:
            await self._insert.run(lambda link: link.insert(table, columns, rows, token))
        except WarehouseRefused as error:
            if error.number is not None and error.number not in _ROWS_TO_BLAME:
                raise WarehouseAway(f"{error}; the rows are not to blame, so that it is tried again") from error
            raise

    async def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        """As in `domain.ports.Warehouse`. Values are what JSON has: numbers, texts, null, lists; a time is text."""
        return await self._query.run(lambda link: link.query(sql, params))

    async def everywhere(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one SELECT about what a server holds itself, of every server that the URL names. WarehouseAway when one
        of them doesn't answer. It stands in nobody's way: no report and no insert waits for it.
        """
        return await self._mender.run(lambda link: link.everywhere(sql))

    async def settled(self) -> None:
        """Return when queries see everything that was inserted before: at once, or on a cluster when the replicas that are
        asked have caught up. Lasts as long as none has. Raises WarehouseAway or WarehouseRefused.
        """
        while not await self._query.run(lambda link: link.settled()):  # noqa: ASYNC110 - no server tells when it has
            await asyncio.sleep(_SETTLING_S)

    async def mend(self) -> None:
        """For ever, take away what a failed insert may have left, where servers don't do so themselves."""
        while True:
            await asyncio.sleep(_MENDING_S)
            if self._features is None or not self._features.leaves_orphans:
                continue
            with suppress(WarehouseAway, WarehouseRefused):
                await self._mender.run(lambda link: link.mend())

    async def read_only(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement that somebody wrote by hand. WarehouseRefused if it does more than read the tables.

        The engine refuses changes (readonly = 2); reading and writing files, in the server's own name, is refused here.
        """
        if match := _FILES.search(sql):
            raise WarehouseRefused(f"{match[0].strip(' (')!r} reaches past the tables and is not run here")
        try:
            return await self._reader.run(lambda link: link.query(sql, {}))
        except WarehouseAway as error:
            if "(code 164)" in str(error):  # READONLY
                raise WarehouseRefused("only statements that read are run here") from error
            raise

    async def command(self, sql: str) -> None:
        """Run one statement that has no result (CREATE, DROP, TRUNCATE)."""
        await self._insert.run(lambda link: link.command(sql))
