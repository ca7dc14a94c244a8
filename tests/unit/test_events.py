"""The one encoding, and the ids of chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.events import CLICK, KINDS, ORDER, ChunkId, decode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


VALUES = st.lists(TEXT | st.integers(0, 2**63 - 1), min_size=20, max_size=20)


@given(st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 2**62), VALUES)))
def test_a_chunk_is_its_events_whatever_they_say(events):
    kinds = [(KINDS[code], [at_ms, *values][: len(KINDS[code].columns)]) for code, at_ms, values in events]
    chunk = b"".join(kind.encode(*values) for kind, values in kinds)
    assert list(decode(chunk)) == kinds
    assert chunk.count(b"\n") == len(kinds)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'["x",1]\n', id="unknown kind"),
        pytest.param(b'["c",1]\n', id="too few values"),
        pytest.param(b"[]\n", id="empty"),
        pytest.param(b"{}\n", id="not an array"),
        pytest.param(b'["c"', id="torn"),
        pytest.param(b"\xff\n", id="not UTF-8"),
        pytest.param(b"5\n", id="a number"),
    ],
)
def test_what_is_no_event_is_a_value_error(line):
    with pytest.raises(ValueError):
        list(decode(line))


def test_no_address_and_no_user_agent_is_a_column_of_anything():
    columns = {column for kind in KINDS.values() for column in kind.columns}
    assert not columns & {"ip", "address", "remote", "user_agent", "ua", "cookie", "referer"}
    assert CLICK.columns[0] == ORDER.columns[0] == "at_ms"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_chunk_ids_are_ordered_and_read_back(epoch, seq):
    chunk_id = ChunkId(epoch, seq)
    assert ChunkId.parse(str(chunk_id)) == ChunkId.parse(str(chunk_id).encode()) == chunk_id
    if (epoch, seq) > (0, 0):
        assert chunk_id.before() < chunk_id
