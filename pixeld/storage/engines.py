"""Which engine: a ClickHouse server, or the engine inside this process. Only the one in use is imported."""

from __future__ import annotations

from pathlib import Path

from pixeld.storage.warehouse import Warehouse


def open_warehouse(url: str | None, data_dir: Path) -> Warehouse:
    """The server, or the cluster, at `clickhouse://user:password@host:port[,host2:port2]/database[?secure=1&cluster=name]`;
    without a URL, an engine in this process that keeps its data in `<data_dir>/clickhouse`. Connects nothing yet.

    Raises SettingsError for a URL that is none, WarehouseAway when the embedded engine isn't installed. Only the engine in
    use is imported: the embedded one costs 0.2 s and 225 MB. Import it before the server accepts, as this call does.
    """
    if url is None:
        from pixeld.storage import chdb

        return Warehouse(chdb.connector(data_dir / "clickhouse"), niceness=chdb.NICENESS)
    from pixeld.storage import clickhouse

    return Warehouse(clickhouse.connector(url))
