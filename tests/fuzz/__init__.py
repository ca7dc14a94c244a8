"""Fuzzers: properties of the parsers that see what strangers write. `python -m tests.fuzz` looks for inputs that break one.

A fuzzer is a module with `check(data)`, which holds for all bytes; tests/unit/test_fuzz_corpus.py asks it without any tool.
"""

from pathlib import Path

FUZZERS = ("cookie", "gpp", "money", "query", "recogniser", "tcf", "token")
CORPUS = Path(__file__).parent / "corpus"
MAX_LENGTH = 1200  # bytes of an input


def text(data):
    """Bytes as a header or a target has them once aiohttp has read it."""
    return data.decode("utf-8", "surrogateescape")
