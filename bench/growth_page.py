"""The page of `growth` and its plots."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import results
from bench.rounds import Round

os.environ.setdefault("MPLBACKEND", "svg")


@dataclass(frozen=True)
class Sweep:
    """One quantity and the values it is given; `text` says what should happen."""

    title: str
    unit: str
    xs: tuple[int, ...]
    text: str


SWEEPS = {
    "memberships": Sweep(
        "Clients and partners",
        "memberships",
        (10, 100, 1_000, 10_000, 100_000),
        "Ten memberships a client, so that the last point is 10,000 clients with 10,000 partners; visitors of up to 200 "
        "clients. A request looks its client and its partner up in dictionaries, so that its cost should be flat; memory "
        "should grow by what the registry holds. The last column is the longest that one visitor waits while a client is "
        "changed.",
    ),
    "connections": Sweep(
        "Connections",
        "connections",
        (10, 100, 1_000, 10_000),
        "A chunk holds what arrives while the one before it is fsynced: with 10 connections at most 10 events share "
        "the cost of one write to Redis, with hundreds it is next to nothing; from then on CPU a request and requests "
        "a second should be flat. p99 is a queue's length and grows with the queue: each connection always has a "
        "request in it. Connecting counts; the last point is measured for 10 s longer because of that.",
    ),
    "cookie": Sweep(
        "Clicks in the cookie",
        "clicks",
        (0, 1, 2, 4, 8),
        "An order verifies the newest click and stops there; a click verifies none and copies seven. What remains is the "
        "cookie itself: 8 clicks are some 300 bytes more to read, and for a click to send.",
    ),
    "query": Sweep(
        "Length of the query",
        "bytes",
        (64, 512, 1_024, 2_048, 4_096),
        "Clicks with five sub-ids. Only what is stored should cost: bytes that are read, written to Redis and flushed.",
    ),
    "agents": Sweep(
        "Different browsers",
        "user agents",
        (1, 10, 100, 1_000, 10_000),
        "User agents in turn. Each is parsed once and then remembered; 10,000 are remembered.",
    ),
}


@dataclass(frozen=True)
class Point(Round):
    """One round at one value of one quantity; `server` is the series. `stall_ms` is 0 where it isn't measured."""

    sweep: str = ""
    x: int = 0
    stall_ms: float = 0.0


@dataclass(frozen=True)
class _Measure:
    """One panel and one column."""

    title: str
    field: str
    shown: Callable[[float], str]


_MEASURES = (
    _Measure("requests/s", "rate", "{:,.0f}".format),
    _Measure("CPU µs a request", "cpu_us", "{:.1f}".format),
    _Measure("p99 ms", "p99_ms", "{:.0f}".format),
    _Measure("resident MiB", "resident_mib", "{:.0f}".format),
)
_STALL = _Measure("wait at a change, ms", "stall_ms", "{:.1f}".format)
_COLOURS = {"order": "#1f6feb", "click": "#d9730d"}


def page(run: Mapping[str, Any], points: Sequence[Point]) -> str:
    """All sweeps: what should happen, the plot, the figures."""
    parts = [
        "pixeld alone on one core, wrk and Valkey on the other, 256 connections where nothing else is said, "
        "everything as in [peers](peers.md). Axes begin at 0 and are the same in all plots, except CPU and p99 over "
        "connections: flat looks flat. Points are medians, thin lines the rounds' minima and maxima."
    ]
    for name, sweep in SWEEPS.items():
        of = [point for point in points if point.sweep == name]
        if of:
            parts += [f"## {sweep.title}", sweep.text, f"![{sweep.title}](growth-{name}.svg)", _table(name, of)]
    if wrong := sum(bool(point.errors) for point in points):
        parts.append(f"{wrong} rounds had errors and are no measurement.")
    again = 'Again: `make bench ARGS="growth --save"`.'
    return "\n\n".join([*parts, f"{run['machine']}; {run['rounds']} rounds of {run['seconds']} s. {again}"])


def _measures(sweep: str) -> tuple[_Measure, ...]:
    return (*_MEASURES, _STALL) if sweep == "memberships" else _MEASURES


def _table(name: str, points: Sequence[Point]) -> str:
    rows = []
    for x in SWEEPS[name].xs:
        for series in _series(points):
            if good := _good(points, series, x):
                figures = [m.shown(median(getattr(point, m.field) for point in good)) for m in _measures(name)]
                rows.append([f"{x:,}", series, *figures])
    return results.table([SWEEPS[name].unit, "", *(m.title for m in _measures(name))], rows)


def _series(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.server for point in points))


def _good(points: Sequence[Point], series: str, x: int) -> list[Point]:
    return [point for point in points if point.server == series and point.x == x and not point.errors]


def plots(directory: Path, points: Sequence[Point], suffix: str = "svg") -> None:
    """Draw `growth-<sweep>.svg` for each sweep that has points."""
    import matplotlib.pyplot as plt  # here, because only drawing needs it

    plt.rcParams.update({"font.size": 9, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "pixeld"})
    good = [point for point in points if not point.errors]
    for name, sweep in SWEEPS.items():
        of = [point for point in good if point.sweep == name]
        if not of:
            continue
        measures = _measures(name)
        figure, panels = plt.subplots(1, len(measures), figsize=(2.5 * len(measures), 2.3), layout="constrained")
        for panel, measure in zip(panels, measures, strict=True):
            shared = of if measure is _STALL else [p for p in good if _alone(p.sweep, measure) == _alone(name, measure)]
            _draw(panel, sweep, measure, of, 1.08 * max(getattr(point, measure.field) for point in shared))
        if len(_series(of)) > 1:
            panels[0].legend(frameon=False, loc="lower left")
        figure.savefig(directory / f"growth-{name}.{suffix}", metadata={"Date": None} if suffix == "svg" else None)
        plt.close(figure)


def _alone(sweep: str, measure: _Measure) -> bool:
    return sweep == "connections" and measure.field in ("cpu_us", "p99_ms")


def _draw(panel: Any, sweep: Sweep, measure: _Measure, points: Sequence[Point], top: float) -> None:
    places = range(len(sweep.xs))  # evenly: the values are steps of a scale, and 0 is one of them
    for series in _series(points):
        at = [[getattr(p, measure.field) for p in _good(points, series, x)] for x in sweep.xs]
        drawn = [(place, figures) for place, figures in zip(places, at, strict=True) if figures]
        xs, middles = [place for place, _ in drawn], [median(figures) for _, figures in drawn]
        panel.plot(xs, middles, "o-", color=_COLOURS[series], label=series, markersize=4, linewidth=1.6)
        panel.vlines(xs, [min(f) for _, f in drawn], [max(f) for _, f in drawn], color=_COLOURS[series], linewidth=0.8)
    panel.set(title=measure.title, ylim=(0, top or 1), xlim=(-0.3, len(sweep.xs) - 0.7), xlabel=sweep.unit)
    panel.set_xticks(places, [_short(x) for x in sweep.xs])
    panel.yaxis.set_major_locator(_ticks())
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)


def _ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])


def _short(x: int) -> str:
    return f"{x // 1000}k" if x >= 1000 and x % 1000 == 0 else f"{x // 1024}Ki" if x >= 1024 else str(x)
