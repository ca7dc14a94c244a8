"""One fuzzer in a process of its own, instrumented: `python -m tests.fuzz.worker money …`, with libFuzzer's arguments behind it."""

import sys
from importlib import import_module

import atheris

with atheris.instrument_imports(include=["pixeld", "tests.fuzz", "urllib"]):
    check = import_module(f"tests.fuzz.fuzz_{sys.argv[1]}").check

atheris.Setup([sys.argv[0], *sys.argv[2:]], check)
atheris.Fuzz()
