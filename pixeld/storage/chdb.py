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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from pixeld.errors import SettingsError, WarehouseAway, WarehouseRefused
from pixeld.storage.features import QUERY_SECONDS, Features
from pixeld.storage.warehouse import READ_ONLY, Link, Params, escaped, failure

# A report must neither take the cores that answer hits nor the memory they need; it spills to disk before that.
_REPORT_LIMITS = {
    "max_threads": max(1, (os.cpu_count() or 1) // 2),
    "max_execution_time": QUERY_SECONDS,
    "max_memory_usage": 2**31,
    "max_bytes_before_external_group_by": 2**30,
    "max_bytes_before_external_sort": 2**30,
    "output_format_json_quote_64bit_integers": 0,
}

# An insert into a disk that gets full under it may leave a part of empty files behind, which the engine (26.9) takes for
# stored until its next start. A disk filled at 400 MB/s takes 250 ms for these; a small insert took 45, 100,000 rows 240.
SPARE_BYTES = 100 << 20


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
                f"the embedded ClickHouse engine cannot open {where}; does another pixeld use it? ({_reason(error)})"
            ) from error

    return connect


class EmbeddedLink:
    """`storage.warehouse.Link` to the engine in this process."""

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection, self._path = connection, path
        self._limited = False  # a connection that only inserts and migrates has no limits
        self.features = Features.of(orjson.loads(self._run("SELECT version()", "JSONCompactEachRow"))[0])

    def preferred(self) -> bool:
        return True

    def insert(self, table: str, columns: Sequence[str], values: Sequence[tuple[str | int, ...]], token: str) -> None:
        """JSON by columns, behind the statement: 100,000 rows of four columns take 0.24 s, and always as one block.

        Not its streaming insert (`send_insert`), though that takes 0.17 s: with the disk full it stores nothing and reports
        success.
        """
        if (free := shutil.disk_usage(self._path).free) < SPARE_BYTES:
            raise WarehouseAway(
                f"the disk of {self._path} has {free >> 20} MiB left and an insert wants {SPARE_BYTES >> 20}; make room: "
                "until then events wait in Redis"
            )
        settings = ", ".join(f"{k} = {_literal(v)}" for k, v in self.features.insert_settings(token).items())
        sql = f"INSERT INTO {table} ({', '.join(columns)}) SETTINGS {settings} FORMAT JSONCompactColumns "
        try:
            document = orjson.dumps(values)
        except orjson.JSONEncodeError as error:
            raise WarehouseRefused(f"a value is no text: {error}") from error
        self._run(sql.encode() + document)

    def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        if not self._limited:
            self._run("SET " + ", ".join(f"{name} = {value}" for name, value in _REPORT_LIMITS.items()))
            self._limited = True
        texts = {name: escaped(value) if isinstance(value, str) else str(value) for name, value in params.items()}
        return [orjson.loads(line) for line in self._run(sql, "JSONEachRow", texts).splitlines()]

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

    def _run(self, sql: str | bytes, output: str = "Null", params: dict[str, str] | None = None) -> bytes:
        with _translated():
            result: bytes = self._connection.query(sql, output, params=params or {}).bytes()
        return result


def _literal(value: str | int) -> str:
    return f"'{escaped(value)}'" if isinstance(value, str) else str(value)


@contextmanager
def _translated() -> Iterator[None]:
    """The engine's one exception, a RuntimeError with `Code: 62. DB::Exception: …`, as ours."""
    try:
        yield
    except RuntimeError as error:
        code = re.match(r".*?Code: (\d+)\.", str(error), re.DOTALL)
        if code is None:
            raise WarehouseAway(f"the embedded ClickHouse engine failed: {_reason(error)}") from error
        raise failure(int(code[1]), _reason(error), "embedded") from error


def _reason(error: Exception) -> str:
    """The innermost message: the engine repeats `Code: n. DB::Exception:` for every layer it went through."""
    return re.sub(r"Code: \d+\. DB::Exception: ", "", str(error)).strip().split("\n", 1)[0]
