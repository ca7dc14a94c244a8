"""Chunks as batches: the bytes alone decide, whatever way they take."""

import json
from dataclasses import replace

import orjson
import pytest

from pixeld.domain.events import AFFINITY, CLICK, IMPRESSION, ORDER, TEST_ORDER, ChunkId, decode
from pixeld.ingest.batch import Draft, original
from tests.flow.conftest import NODE, order

END_OF_NOVEMBER_MS = 1_764_547_200_000  # the first millisecond of December 2025, UTC


def plan(chunks, fence=1, version="v2", node=NODE):
    draft = Draft(node)
    for chunk_id, data in chunks:
        draft.add(chunk_id, data)
    return draft.batch(fence)


def line(kind, at_ms, text="shop"):
    integers = {"at_ms": at_ms, "visitor": 2**64 - 1, "clicked_at": 0, "amount_minor": -5, "commission_minor": -5, "locks_at": 0}
    return kind.encode(*(integers.get(name, text) for name in kind.columns))


def test_a_batch_depends_on_the_bytes_alone(clock):
    chunks = [(ChunkId(1, n), order(clock, n) + order(clock, n + 10)) for n in range(3)]
    one, two = plan(chunks, 5), plan(chunks, 5)
    assert one == two
    assert one.manifest.rows == 6
    other = plan([*chunks[:2], (ChunkId(1, 2), order(clock, 99))], 5)
    assert other.parts[0].token != one.parts[0].token
    assert replace(one.manifest, fence=6) == plan(chunks, 6).manifest


@pytest.mark.parametrize(
    ("at_ms", "months"),
    [
        pytest.param([END_OF_NOVEMBER_MS - 1, END_OF_NOVEMBER_MS], ["202511", "202512"], id="the last and the first millisecond"),
        pytest.param([999_999_999_999], ["200109"], id="12 digits"),
        pytest.param([0], ["197001"], id="one digit"),
        pytest.param([10**13], ["228611"], id="14 digits"),
    ],
)
@pytest.mark.parametrize("kind", [CLICK, IMPRESSION, ORDER, TEST_ORDER], ids=lambda kind: kind.name)
def test_each_part_is_one_table_and_one_month(kind, at_ms, months):
    parts = plan([(ChunkId(1, 1), b"".join(line(kind, at) for at in at_ms))]).parts
    assert [(part.kind, part.token[-8:], len(part.rows)) for part in parts] == [(kind, f"{kind.code}:{m}", 1) for m in months]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(line(ORDER, END_OF_NOVEMBER_MS) + line(CLICK, END_OF_NOVEMBER_MS), id="as they lie"),
        pytest.param(line(ORDER, END_OF_NOVEMBER_MS, '"],\\\n\r é\u2028'), id="hostile text"),
        pytest.param(line(ORDER, END_OF_NOVEMBER_MS) + line(CLICK, 5), id="one is decoded"),
        pytest.param(line(CLICK, END_OF_NOVEMBER_MS).replace(b",", b" , ") + line(CLICK, END_OF_NOVEMBER_MS), id="with spaces"),
        pytest.param(line(CLICK, END_OF_NOVEMBER_MS)[:-1], id="no newline at the end"),
    ],
)
def test_every_event_is_a_row_with_its_values_and_its_id(data):
    batch = plan([(ChunkId(7, 1), line(CLICK, END_OF_NOVEMBER_MS)), (ChunkId(7, 2), data)])
    found = [(part.kind, json.loads(row)) for part in batch.parts for row in part.rows]
    expected = [(kind, [*values, f"{NODE}-7-2-{index}"]) for index, (kind, values) in enumerate(decode(data))]
    first = (CLICK, [*next(decode(line(CLICK, END_OF_NOVEMBER_MS)))[1], f"{NODE}-7-1-0"])
    assert sorted(found, key=repr) == sorted([first, *expected], key=repr)
    assert batch.manifest.rows == len(expected) + 1 and not batch.unreadable
    assert all(b"\n" not in row for part in batch.parts for row in part.rows)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"garbage\n", id="no JSON"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b'["z",1764547200000,"shop"]\n', id="unknown kind"),
        pytest.param(b'["o",1764547200000,"shop\n', id="cut off"),
        pytest.param(b'["o",1764547200000\n', id="cut off before the first text"),
        pytest.param(b'["o","1764547200000","shop"]\n', id="a time that is text"),
        pytest.param(b'["o",17645472000x0,"shop"]\n'.replace(b"x0,", b"x,"), id="a time that is no number"),
        pytest.param(line(ORDER, END_OF_NOVEMBER_MS).replace(b"shop", b"sh\xffp"), id="no UTF-8"),
        pytest.param(line(ORDER, 10**30 // 10**12), id="a time beyond the calendar"),
        pytest.param(line(ORDER, -(2**62)), id="a time before it"),
    ],
)
@pytest.mark.parametrize("good", [b"", line(ORDER, END_OF_NOVEMBER_MS)], ids=["alone", "behind an event"])
def test_a_chunk_with_a_line_that_is_no_event_is_unreadable_as_a_whole(good, bad):
    before, after = (ChunkId(1, 1), line(ORDER, END_OF_NOVEMBER_MS)), (ChunkId(1, 3), line(CLICK, END_OF_NOVEMBER_MS))
    batch = plan([before, (ChunkId(1, 2), good + bad), after])
    assert [(event_id, data) for event_id, _, data in batch.unreadable] == [(f"{NODE}-1-2", good + bad)]
    assert [part.rows for part in batch.parts] == [part.rows for part in plan([after, before]).parts]
    assert batch.manifest.rows == 2


DAY_MS, EVENING_MS = 86_400_000, 1_764_460_800_000 - 1  # 29 November, its last millisecond


@pytest.mark.parametrize(
    ("kind", "parts"), [pytest.param(ORDER, 2, id="by the month"), pytest.param(AFFINITY, 3, id="by the day")]
)
def test_a_part_is_of_one_partition(kind, parts):
    times = [EVENING_MS, EVENING_MS + 1, EVENING_MS + DAY_MS, EVENING_MS + DAY_MS + 1]
    batch = plan([(ChunkId(1, n), line(kind, at_ms)) for n, at_ms in enumerate(times, 1)])
    assert len(batch.parts) == len({part.token for part in batch.parts}) == parts


@pytest.mark.parametrize("kind", [CLICK, ORDER], ids=lambda kind: kind.name)
def test_a_row_gives_back_its_line_and_its_id(kind):
    data = line(kind, END_OF_NOVEMBER_MS, 'a",\\"b')
    ((row,),) = (part.rows for part in plan([(ChunkId(1, 2), data)]).parts)
    assert original(kind, row) == (f"{NODE}-1-2-0", data)


def test_a_nodes_name_is_a_value():
    ((row,),) = (part.rows for part in plan([(ChunkId(1, 2), line(CLICK, 0))], node='n"o\\de').parts)
    assert orjson.loads(row)[-1] == 'n"o\\de-1-2-0'
