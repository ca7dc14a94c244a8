"""`python -m tests.fuzz money --seconds 600`: look for inputs that break a parser, with atheris; two fuzzers at a time.

Inputs that reach something new are kept in tests/fuzz/corpus, and so is one that breaks a property: commit it with its mending.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import CORPUS, FUZZERS, MAX_LENGTH

AT_ONCE = 2
ROOT = Path(__file__).parents[2]


def fuzz(name, seconds):
    """Fuzz for some seconds; whether nothing was found."""
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as new:
        flags = [f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-timeout=10", "-reduce_inputs=0", "-print_final_stats=1"]
        command = [sys.executable, "-m", "tests.fuzz.worker", name, *flags, f"-artifact_prefix={new}/", new, str(corpus)]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        kept = [Path(shutil.copy(each, corpus)) for each in sorted(Path(new).iterdir())]
    if ran.returncode:
        print(ran.stdout[-4000:])
        for path in kept:
            if path.name.startswith(("crash-", "timeout-", "oom-", "leak-")):
                print(f"{name}: this input breaks it, and is kept as {path.relative_to(ROOT)}:\n{path.read_bytes()!r}")
        return False
    inputs = re.search(r"number_of_executed_units:\s*(\d+)", ran.stdout)
    assert inputs is not None, ran.stdout
    print(f"{name}: {int(inputs[1]):,} inputs in {seconds} s, nothing found; {len(kept)} new ones kept", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Look for inputs that break a parser.")
    parser.add_argument("name", choices=[*FUZZERS, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="for each fuzzer")
    given = parser.parse_args()
    names = FUZZERS if given.name == "all" else (given.name,)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return 0 if all(list(pool.map(lambda name: fuzz(name, given.seconds), names))) else 1


sys.exit(main())
