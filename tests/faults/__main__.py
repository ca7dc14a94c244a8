"""`python -m tests.faults`: campaigns as long as you like. Every run prints its seed; `--seed N --runs 1` repeats it."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import orjson

from tests.faults import page
from tests.faults.campaign import run
from tests.faults.system import SYSTEMS, can_mount


def main():
    """Run, print each run's figures, keep them; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("engine", choices=SYSTEMS, help="chDB and Valkey; or a ClickHouse cluster of four, two pixelds and Valkey")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--faults", type=int, default=25, help="in each run")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each next one has the next number")
    parser.add_argument("--save", action="store_true", help="add the runs to bench/results/faults.md")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        directory = Path(tempfile.mkdtemp(prefix=f"pixeld-faults-{seed}-"))
        system = SYSTEMS[options.engine](directory, disks=can_mount(directory))
        print(f"run of seed {seed} in {directory}", flush=True)
        result = asyncio.run(run(options.engine, system, seed, options.faults, lambda text: print(f"  {text}", flush=True)))
        print(orjson.dumps(result.as_json()).decode(), flush=True)
        if options.save:
            page.save([result.as_json()])
        failed += bool(result.wrong)
        if not result.wrong:
            shutil.rmtree(directory)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
