"""What the fuzzers found and kept, and some chance on top: every property holds. No tool is needed for this."""

from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import CORPUS, FUZZERS, MAX_LENGTH


@pytest.mark.parametrize("name", FUZZERS)
def test_kept_inputs(name):
    check = import_module(f"tests.fuzz.fuzz_{name}").check
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for path in kept:
        try:
            check(path.read_bytes())
        except Exception as error:
            error.add_note(f"the input is in {path}")
            raise


@pytest.mark.parametrize("name", FUZZERS)
def test_chance(name):
    check = import_module(f"tests.fuzz.fuzz_{name}").check
    settings(max_examples=300, deadline=None)(given(st.binary(max_size=MAX_LENGTH))(check))()
