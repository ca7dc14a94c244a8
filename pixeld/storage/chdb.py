"""ClickHouse's engine inside this process (chDB). The only module that imports chdb.

One process owns a data path, and a process can have only one. Queries and inserts release the GIL. Importing the package does
more than pixeld wants of it; `_load` keeps the process as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import orjson

from pixeld.domain.ports import Row
from pixeld.errors import SettingsError, WarehouseAway, WarehouseRefused
from pixeld.storage.features import QUERY_SECONDS, Features
from pixeld.storage.warehouse import INTEGERS, READ_ONLY, Link, Params, escaped, failure

# A report may have every core, because its threads give way to whatever answers hits (NICENESS); not the memory that they
# need: it spills to disk before that.
_REPORT_LIMITS = {
    "max_threads": os.cpu_count() or 1,
    "max_execution_time": QUERY_SECONDS,
    "max_memory_usage": 2**31,
    "max_bytes_before_external_group_by": 2**30,
    "max_bytes_before_external_sort": 2**30,
    "output_format_json_quote_64bit_integers": 0,
}

# Of the threads that use the engine and of its own. On a core that answers hits as fast as it can they get a tenth of it (the
# scheduler's weight is 110 against 1024), on an idle one all. What flushing does on the event loop comes on top. An insert
# holds the GIL for 0.1 ms at a time, so that the loop never waits long for a thread that is not scheduled.
NICENESS = 10

# How rows are read: in one thread, in order, and text only from text. What is refused for that is a row's fault.
_READING: dict[str, str | int] = {
    "max_threads": 1,
    "input_format_parallel_parsing": 0,
    "input_format_null_as_default": 0,
    **{f"input_format_json_read_{kind}_as_strings": 0 for kind in ("numbers", "bools", "arrays", "objects")},
    "input_format_json_read_bools_as_numbers": 0,
}

_AT_END = ("3", "32", "33")  # codes of something that ended too early: of the rows, where the message names their file

# An insert into a disk that gets full under it may leave a part of empty files behind, which the engine (26.9) takes for
# stored until its next start. A disk filled at 400 MB/s takes 250 ms for these; a small insert took 45, 100,000 rows 240.
SPARE_BYTES = 100 << 20
_PIECE = 500  # rows that are joined and written at once, some 100 KB: between two pieces others may run


@contextmanager
def _process_kept() -> Iterator[None]:
    """Undo what `import chdb` does to the process: it changes the working directory for a moment (which is why it is
    imported before anything runs beside it), blocks SIGPIPE, and would load pyarrow with numpy, 39 MB and 0.2 s that only
    its Arrow output needs (it works without)."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    absent = "pyarrow" not in sys.modules
    if absent:
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["pyarrow"]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _load() -> Any:
    try:
        with _process_kept():
            from chdb import _chdb
    except ImportError as error:
        raise WarehouseAway(
            "the embedded ClickHouse engine is not installed: pip install 'pixeld[embedded]', "
            "or name a server in PIXELD_CLICKHOUSE_URL"
        ) from error
    module: Any = _chdb
    # Otherwise it catches crashes and SIGTSTP for the whole process. Python's handlers stay as they are either way.
    module.set_signal_handlers_enabled(False)
    return module


def connector(path: Path) -> Callable[[], Link]:
    """What connects to the engine on `path`, which is made when missing. Imports chdb now, in the calling thread."""
    if "?" in str(path):
        raise SettingsError(f"the data directory must not have a question mark in its name: {path}")
    module = _load()
    where = path.absolute()

    def connect() -> Link:
        try:
            where.mkdir(parents=True, exist_ok=True)
            return EmbeddedLink(module.connect(str(where)), where)
        except (OSError, RuntimeError) as error:
            raise WarehouseAway(
                f"the embedded ClickHouse engine cannot open {where}; does another pixeld use it? ({_reason(str(error))})"
            ) from error

    return connect


class _Threads:
    """The engine's threads, which are to be as nice as the one that inserts. Those which merge don't inherit it."""

    def __init__(self) -> None:
        self._tasks = Path("/proc/self/task")
        self._known: set[str] = set()

    def follow(self) -> None:
        """Give those that there are by now this thread's niceness. 60 threads take 0.1 ms when they are known."""
        if sys.platform != "linux":  # elsewhere a thread has none of its own
            return
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        with suppress(OSError):  # without /proc nobody can say which they are, and flushing goes on all the same
            self._make(niceness)

    def _make(self, niceness: int) -> None:
        theirs = {task.name for task in self._tasks.iterdir()} - {str(each.native_id) for each in threading.enumerate()}
        for thread in theirs - self._known:
            with suppress(OSError):  # it has ended
                os.setpriority(os.PRIO_PROCESS, int(thread), niceness)
        self._known = theirs


class EmbeddedLink:
    """`storage.warehouse.Link` to the engine in this process."""

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection, self._path = connection, path
        self._threads = _Threads()
        self._limited = False  # a connection that only inserts and migrates has no limits
        self.features = Features.of(orjson.loads(self._run("SELECT version()", "JSONCompactEachRow"))[0])

    def preferred(self) -> bool:
        return True

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], token: str) -> None:
        """Read the rows out of a file in memory: 1.1 µs each, checks included. Behind the statement they would take 1.9.

        Not its streaming insert (`send_insert`): with the disk full that stores nothing and reports success.
        """
        if (free := shutil.disk_usage(self._path).free) < SPARE_BYTES:
            raise WarehouseAway(
                f"the disk of {self._path} has {free >> 20} MiB left and an insert wants {SPARE_BYTES >> 20}; make room: "
                "until then events wait in Redis"
            )
        settings = ", ".join(f"{k} = {_literal(v)}" for k, v in (self.features.insert_settings(token) | _READING).items())
        head = f"INSERT INTO {table} ({', '.join(columns)}) SETTINGS {settings}"
        structure = ", ".join(f"{name} {'Nullable(Int128)' if name in INTEGERS else 'String'}" for name in columns)
        try:
            with _in_memory() as file:
                for begin in range(0, len(rows), _PIECE):
                    file.write(b"\n".join(rows[begin : begin + _PIECE]) + b"\n")
                file.flush()
                file.seek(0)
                source = f"file({file.fileno()}, JSONCompactEachRow, {_literal(structure)})"
                self._run(f"{head} SELECT {', '.join(map(_checked, columns))} FROM {source}")  # noqa: S608 - of our own names
            self._threads.follow()
        except OSError as error:
            raise WarehouseAway(f"a batch cannot be handed to the embedded ClickHouse engine: {error.strerror}") from error

    def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        if not self._limited:
            self._run("SET " + ", ".join(f"{name} = {value}" for name, value in _REPORT_LIMITS.items()))
            self._limited = True
        texts = {name: escaped(value) if isinstance(value, str) else str(value) for name, value in params.items()}
        return [orjson.loads(line) for line in self._run(sql, "JSONEachRow", texts).splitlines()]

    def everywhere(self, sql: str) -> list[dict[str, Any]]:
        return self.query(sql, {})

    def settled(self) -> bool:
        return True

    def mend(self) -> None:
        pass

    def restrict(self) -> None:
        self._run("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in READ_ONLY.items()))

    def command(self, sql: str) -> None:
        self._run(sql)

    def close(self) -> None:
        self._connection.close()

    def _run(self, sql: str, output: str = "Null", params: dict[str, str] | None = None) -> bytes:
        with _translated():
            result: bytes = self._connection.query(sql, output, params=params or {}).bytes()
        return result


def _in_memory() -> IO[bytes]:
    """An empty file without a name; in memory where the system has such files (Linux)."""
    return os.fdopen(os.memfd_create("rows"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile()


def _checked(column: str) -> str:
    """The column as it is stored. The engine would store 2**32 + 5 in a UInt32 as 5, and null as 0: it is read as what holds
    both, and refused. (No check of 39 digits and more, nor of an integer in quotes: no encoder of ours writes either.)
    """
    if column not in INTEGERS:
        return column
    low, high = INTEGERS[column]
    outside = f"ifNull({column} < {low} OR {column} > {high}, 1)"
    return f"{column} + throwIf({outside}, 'a value of {column} is not within {low} to {high}')"


def _literal(value: str | int) -> str:
    return f"'{escaped(value)}'" if isinstance(value, str) else str(value)


@contextmanager
def _translated() -> Iterator[None]:
    """The engine's one exception, a RuntimeError with `Code: 62. DB::Exception: …`, as ours."""
    try:
        yield
    except RuntimeError as error:
        raise _failure(str(error)) from error
    except UnicodeDecodeError as error:  # while it was made: the message quotes a row, and cuts a character in two
        raise _failure(error.object.decode(errors="replace")) from error


def _failure(message: str) -> WarehouseAway | WarehouseRefused:
    code = re.match(r".*?Code: (\d+)\.", message, re.DOTALL)
    if code is None:
        return WarehouseAway(f"the embedded ClickHouse engine failed: {_reason(message)}")
    if code[1] in _AT_END and "(fd = " in message:
        return WarehouseRefused(f"ClickHouse (embedded) refused: {_reason(message)} (code {code[1]})")
    return failure(int(code[1]), _reason(message), "embedded")


def _reason(message: str) -> str:
    """The innermost message: the engine repeats `Code: n. DB::Exception:` for every layer it went through."""
    return re.sub(r"Code: \d+\. DB::Exception: ", "", message).strip().split("\n", 1)[0]
