"""The spill keeps what it took, in order, through torn tails, flipped bits, full disks and restarts."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.events import ChunkId
from pixeld.errors import SpillFailed
from pixeld.ingest import spill as module
from pixeld.ingest.spill import Spill, encode, scan


@pytest.fixture
def opened():
    """Opens spills, and closes them afterwards."""
    spills = []

    def make(directory, max_bytes=1 << 20, segment_bytes=1 << 16):
        spill = Spill(directory, max_bytes, segment_bytes)
        spill.open()
        spills.append(spill)
        return spill

    yield make
    for spill in spills:
        spill.close()


def drain(spill):
    """Everything that waits, oldest first, each segment forgotten as it is read."""
    chunks = []
    while (segment := spill.oldest()) is not None:
        chunks += segment[1]
        spill.forget(segment[0])
    return chunks


CHUNKS = [(ChunkId(7, n), b"chunk %d\n" % n * (n + 1)) for n in range(20)]


@pytest.mark.parametrize("segment_bytes", [1, 300, 1 << 20], ids=["a segment each", "some a segment", "one segment"])
@pytest.mark.parametrize("restart", [False, True], ids=["same process", "after a restart"])
def test_first_in_first_out(opened, tmp_path, segment_bytes, restart):
    spill = opened(tmp_path, segment_bytes=segment_bytes)
    for chunk in CHUNKS:
        spill.append(*chunk)
    assert spill.last_id() == CHUNKS[-1][0]
    if restart:
        spill = opened(tmp_path, segment_bytes=segment_bytes)
    assert drain(spill) == CHUNKS
    assert spill.empty and spill.bytes == 0
    assert not list(tmp_path.glob("*.seg"))


def test_what_comes_while_the_oldest_is_read_comes_after_it(opened, tmp_path):
    spill = opened(tmp_path)
    spill.append(*CHUNKS[0])
    number, chunks = spill.oldest()
    spill.append(*CHUNKS[1])
    spill.forget(number)
    assert chunks + drain(spill) == CHUNKS[:2]


@pytest.mark.parametrize("cut", range(1, len(encode(*CHUNKS[2])) + 1))
def test_a_torn_tail_is_cut_and_what_precedes_it_stays(opened, tmp_path, cut):
    spill = opened(tmp_path)
    for chunk in CHUNKS[:3]:
        spill.append(*chunk)
    spill.close()
    (path,) = tmp_path.glob("*.seg")
    os.truncate(path, path.stat().st_size - cut)
    again = opened(tmp_path)
    assert again.bytes == path.stat().st_size
    again.append(*CHUNKS[3])
    assert drain(again) == [*CHUNKS[:2], CHUNKS[3]]


def test_a_damaged_record_is_skipped_and_counted_once(opened, tmp_path):
    spill = opened(tmp_path)
    for chunk in CHUNKS[:3]:
        spill.append(*chunk)
    spill.close()
    (path,) = tmp_path.glob("*.seg")
    raw = bytearray(path.read_bytes())
    raw[len(encode(*CHUNKS[0])) + 40] ^= 1
    path.write_bytes(raw)
    again = opened(tmp_path)
    assert drain(again) == [CHUNKS[0], CHUNKS[2]]
    assert again.damaged == 1


@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6))
def test_any_damage_costs_no_more_than_the_records_it_touches(seed, flips):
    records = [encode(*chunk) for chunk in CHUNKS[:8]]
    raw, touched, start = bytearray(b"".join(records)), set(), 0
    for position, value in flips:
        if position < len(raw) and raw[position] != value:
            raw[position] = value
    for n, record in enumerate(records):
        if raw[start : start + len(record)] != record:
            touched.add(n)
        start += len(record)
    raw += random.Random(seed).randbytes(seed % 50)
    found = scan(bytes(raw))
    assert [chunk for n, chunk in enumerate(CHUNKS[:8]) if n not in touched] == found.records


@given(st.binary(max_size=300))
def test_any_bytes_can_be_scanned(raw):
    assert scan(raw).end <= len(raw)


def test_a_forgotten_segment_whose_unlink_was_lost_stays_forgotten(opened, tmp_path):
    spill = opened(tmp_path)
    spill.append(*CHUNKS[0])
    (path,) = tmp_path.glob("*.seg")
    kept = path.read_bytes()
    drain(spill)
    path.write_bytes(kept)  # the power went before the directory's entry was gone
    again = opened(tmp_path)
    assert again.empty
    again.append(*CHUNKS[1])
    assert drain(opened(tmp_path)) == [CHUNKS[1]]


def test_the_cursor_is_on_disk_before_the_segment_goes(opened, tmp_path, monkeypatch):
    spill = opened(tmp_path)
    spill.append(*CHUNKS[0])
    number, _ = spill.oldest()
    done, fsync, unlink = [], os.fsync, module.Path.unlink
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("fsync"), fsync(fd)))
    monkeypatch.setattr(module.Path, "unlink", lambda self, **kw: (done.append("unlink"), unlink(self, **kw)))
    spill.forget(number)
    assert done == ["fsync", "fsync", "unlink"]  # the cursor, its directory, and only then


def test_full_refuses_and_deletes_nothing(opened, tmp_path):
    spill = opened(tmp_path, max_bytes=len(encode(*CHUNKS[0])) + len(encode(*CHUNKS[1])))
    spill.append(*CHUNKS[0])
    spill.append(*CHUNKS[1])
    with pytest.raises(SpillFailed, match="takes no more"):
        spill.append(*CHUNKS[2])
    assert drain(spill) == CHUNKS[:2]
    spill.append(*CHUNKS[2])
    assert drain(spill) == [CHUNKS[2]]


@pytest.mark.parametrize("begun", [True, False], ids=["in a segment", "as the first of a segment"])
def test_an_fsync_that_fails_costs_that_chunk_only(opened, tmp_path, monkeypatch, begun):
    spill = opened(tmp_path)
    spill.append(*CHUNKS[0])
    if not begun:
        spill.close()

    def refuse(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        with pytest.raises(SpillFailed, match="cannot be written"):
            spill.append(*CHUNKS[1])
    spill.append(*CHUNKS[2])
    assert drain(opened(tmp_path)) == [CHUNKS[0], CHUNKS[2]]


def test_a_full_disk_costs_that_chunk_only(opened, tmp_path):
    spill = opened(tmp_path)
    spill.append(*CHUNKS[0])
    spill._active.close()
    spill._active = Path("/dev/full").open("wb")  # noqa: SIM115 - the spill closes it
    with pytest.raises(SpillFailed, match="No space left"):
        spill.append(*CHUNKS[1])
    spill.append(*CHUNKS[2])
    assert drain(opened(tmp_path)) == [CHUNKS[0], CHUNKS[2]]


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpillFailed, match="cannot be opened"):
        Spill(tmp_path / "file" / "spill", 1000).open()
