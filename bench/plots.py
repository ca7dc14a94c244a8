"""Plots that are kept in `bench/results/`, all of one kind: lines over one axis."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_COLOURS = ("#1f5fa8", "#c8541b", "#3b7d3b", "#7a4a9c")


@dataclass(frozen=True)
class Line:
    """One line, and the band between the least and the most that was seen, if there is one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `target` is (value, what it is): a line across. `log` names logarithmic axes: "x", "y" or "xy"."""

    x: str
    y: str
    lines: Sequence[Line]
    log: str = ""
    target: tuple[float, str] | None = None


def save(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw panels one below the other; the file's suffix says SVG or PNG. Exits where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("plots need matplotlib: pip install '.[bench]', or leave --save out")
    matplotlib.use("agg")
    matplotlib.rcParams |= {"svg.hashsalt": "pixeld", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = pyplot.subplots(len(panels), 1, figsize=(7.5, 1 + 2.7 * len(panels)), squeeze=False, layout="constrained")
    figure.suptitle(title, fontsize=11)
    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        for colour, line in zip(_COLOURS, panel.lines, strict=False):
            if line.low is not None and line.high is not None:
                axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
            marker = "o" if len(line.x) < 30 else None
            axis.plot(line.x, line.y, color=colour, marker=marker, markersize=4, linewidth=1.5, label=line.name)
        if "x" in panel.log:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_minor_formatter(NullFormatter())
        if "y" in panel.log:
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_minor_formatter(NullFormatter())
        else:
            axis.margins(y=0.15)
            axis.set_ylim(bottom=0)
        if panel.target is not None:
            axis.axhline(panel.target[0], color="#888888", linestyle="--", linewidth=1, label=panel.target[1])
        axis.set_xlabel(panel.x)
        axis.set_ylabel(panel.y)
        axis.xaxis.set_major_formatter(plain)
        axis.yaxis.set_major_formatter(plain)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
