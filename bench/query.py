"""Reports over many clicks: how long each takes, and how that grows with the number of rows.

Every size is a database of its own in the embedded engine, made by pixeld's migrations and filled through its views; a process
of its own asks it by `storage.reports`, which is what the API calls. Each report once to warm up, then the median of several
runs. A report uses half of the cores, as it does in `pixeld serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import generated, machine, results
from pixeld.clock import now_ms
from pixeld.domain.reports import OrdersQuery, PerformanceQuery, Scope
from pixeld.storage import migrations
from pixeld.storage.engines import open_warehouse
from pixeld.storage.reports import Reports
from pixeld.storage.warehouse import Warehouse

CLIENT, PARTNER = "shop-010", "partner-557"  # 2 % of the clicks; a partner of some six clients
_OPERATOR, _CLIENT, _PARTNER = Scope.operator(), Scope.client(CLIENT), Scope.partner(PARTNER)
#: name → (scope, request parameters beside the 30 days).
REPORTS: dict[str, tuple[Scope, dict[str, str]]] = {
    "operator by day": (_OPERATOR, {"by": "day"}),
    "one client by day": (_CLIENT, {"by": "day"}),
    "the largest client by day, in Berlin": (Scope.client("shop-000"), {"by": "day", "tz": "Europe/Berlin"}),
    "operator by month": (_OPERATOR, {"by": "month"}),
    "operator by day and partner of one client": (_OPERATOR, {"by": "day,partner", "client": CLIENT}),
    "one client by partner": (_CLIENT, {"by": "partner"}),
    "one partner by day": (_PARTNER, {"by": "day"}),
    "operator by hour, one day": (_OPERATOR, {"by": "hour", "from": "yesterday", "to": "yesterday"}),
    "operator by country": (_OPERATOR, {"by": "country"}),
    "one client by country": (_CLIENT, {"by": "country"}),
    "one client by s1 (single clicks)": (_CLIENT, {"by": "s1"}),
}
ORDERS: dict[str, tuple[Scope, dict[str, str]]] = {
    "first page of orders, operator": (_OPERATOR, {}),
    "first page of orders, one client": (_CLIENT, {}),
}
_PLOTTED = (
    "operator by day",
    "one client by day",
    "one partner by day",
    "one client by s1 (single clicks)",
    "operator by country",
    "first page of orders, operator",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rows", type=int, nargs="+", default=[10**6, 10**7, 10**8], help="numbers of clicks")
    parser.add_argument("--orders", type=int, default=10**6, help="observations of orders")
    parser.add_argument("--runs", type=int, default=7, choices=range(1, 101), metavar="1…100")
    parser.add_argument("--keep", type=Path, help="a directory for the databases, which another run then uses")


def run(options: argparse.Namespace) -> None:
    """Fill, measure, print, save."""
    measured: dict[int, dict[str, Any]] = {}
    with ExitStack() as stack:
        parent = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for rows in sorted(options.rows):
            child = [sys.executable, "-m", "bench.query", str(parent / f"{rows}-{options.orders}")]
            command = [*child, str(rows), str(options.orders), str(options.runs)]
            measured[rows] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    body = f"{_table(measured)}\n\n{_method(options, measured)}"
    print(body)
    if options.save:
        results.save("query", "Reports over many clicks", f"{body}\n\n![query time against rows](query.svg)")
        _plot(measured, results.DIRECTORY / "query.svg")


def _table(measured: dict[int, dict[str, Any]]) -> str:
    rows = []
    for name in (*REPORTS, *ORDERS):
        cells = []
        for found in measured.values():
            runs = sorted(found["ms"][name])
            cells.append(f"{statistics.median(runs):,.0f} ({runs[-(-9 * len(runs) // 10) - 1]:,.0f})")
        rows.append([name, *cells])
    return results.table(["30-day report, ms: median (p90)", *(f"{rows:,} clicks" for rows in measured)], rows)


def _method(options: argparse.Namespace, measured: dict[int, dict[str, Any]]) -> str:
    sizes = "; ".join(
        f"{rows:,}: {found['bytes'] / 2**30:.1f} GiB" + (f", filled in {found['fill_s']:,.0f} s" if found["fill_s"] else "")
        for rows, found in measured.items()
    )
    return (
        f"{machine.described()}; {options.runs} runs; {options.orders:,} observations of orders, a tenth as many impressions "
        f"as clicks, {len(generated.CLIENTS)} clients, 10,000 memberships, {generated.DAYS} days. On disk: {sizes}. "
        "Again: `python -m bench query --save`."
    )


def _plot(measured: dict[int, dict[str, Any]], file: Path) -> None:
    from matplotlib.figure import Figure  # of the extra `bench`: only what is saved needs it

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel="clicks", ylabel="ms, median", ylim=(10, 20_000))
    axes.set_yticks([10, 100, 200, 1000, 10_000], ["10", "100", "200", "1,000", "10,000"])
    for name in _PLOTTED:
        axes.plot(list(measured), [statistics.median(found["ms"][name]) for found in measured.values()], "o-", label=name)
    axes.axhline(200, color="grey", linestyle=":", linewidth=1, label="200 ms")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.set_title("30-day reports: time against clicks")
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(file, metadata={"Date": None})


async def _measure(directory: Path, kept: bool, rows: int, orders: int, runs: int) -> dict[str, Any]:
    fill_s = 0.0
    warehouse = open_warehouse(None, directory)
    await warehouse.connect()
    try:
        await migrations.apply(warehouse)
        if not kept:
            begin = time.monotonic()
            await generated.fill(warehouse, rows, orders)
            fill_s = time.monotonic() - begin
        (filled,) = await warehouse.query("SELECT count() AS clicks, toString(toDate(max(at))) AS last FROM clicks", {})
        if filled["clicks"] != rows:
            sys.exit(f"{directory} has {filled['clicks']} clicks of {rows}: remove it, so that it is filled again")
        sizes = "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = currentDatabase()"
        (size,) = await warehouse.query(sizes, {})
        times = await _time(warehouse, date.fromisoformat(filled["last"]), runs)
    finally:
        await warehouse.close()
    return {"ms": times, "fill_s": fill_s, "bytes": size["bytes"]}


async def _time(warehouse: Warehouse, today: date, runs: int) -> dict[str, list[float]]:
    reader, yesterday = Reports(warehouse, now_ms), str(today - timedelta(days=1))
    found: dict[str, list[float]] = {}
    for name, (scope, params) in (REPORTS | ORDERS).items():
        given = {key: yesterday if value == "yesterday" else value for key, value in params.items()}
        begins = []
        for _ in range(runs + 1):  # the first warms up and doesn't count
            begins.append(time.perf_counter())
            if name in ORDERS:
                await reader.orders(scope, OrdersQuery.parse(given, today), generated.CLIENTS)
            else:
                await reader.performance(scope, PerformanceQuery.parse(given, today), generated.CLIENTS)
        begins.append(time.perf_counter())
        found[name] = [(after - before) * 1000 for before, after in pairwise(begins)][1:]
        print(f"{name}: {statistics.median(found[name]):,.0f} ms", file=sys.stderr)
    return found


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    print(json.dumps(asyncio.run(_measure(Path(path), Path(path).exists(), *map(int, numbers)))))
