"""The spill keeps what it took, in order, through torn tails, flipped bits, full disks, failing media, kills and power cuts.

On a modelled disk; the last tests show that the real one does as the model does. test_spill_machine.py looks for what is not here yet.
"""

import errno
import logging
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.events import ChunkId
from pixeld.errors import SpillFailed
from pixeld.ingest.disk import Disk
from pixeld.ingest.spill import READ_TRIES, Spill, encode, scan
from tests.unit.disk import BLOCK, Killed, ModelDisk, PowerCut

DIRECTORY = Path("/data/spill")
CHUNKS = [(ChunkId(7, n), b"chunk %d\n" % n * (n + 1)) for n in range(20)]
SIZES = [len(encode(*chunk)) for chunk in CHUNKS]


def opened(disk, directory=DIRECTORY, max_bytes=1 << 20, segment_bytes=1 << 16):
    """What a start makes of a disk."""
    spill = Spill(directory, max_bytes, segment_bytes, disk)
    spill.open()
    return spill


def filled(disk, *chunks, segment_bytes=1 << 16):
    """A spill with these chunks."""
    spill = opened(disk, segment_bytes=segment_bytes)
    for chunk in chunks:
        spill.append(*chunk)
    return spill


def drain(spill):
    """Everything that waits, oldest first, each segment forgotten as it is read."""
    chunks = []
    while (segment := spill.oldest()) is not None:
        chunks += segment[1]
        spill.forget(segment[0])
    return chunks


def refused(call, *arguments, match=None):
    with pytest.raises(SpillFailed, match=match):
        call(*arguments)


@pytest.fixture
def disk():
    return ModelDisk()


@pytest.fixture(params=["model", "real"])
def place(request, tmp_path):
    """A disk, and a directory on it."""
    return (ModelDisk(), DIRECTORY) if request.param == "model" else (Disk(), tmp_path / "spill")


# order, restarts, the bound


@pytest.mark.parametrize("segment_bytes", [1, 300, 1 << 20], ids=["a segment each", "some a segment", "one segment"])
@pytest.mark.parametrize("restart", [False, True], ids=["same process", "after a restart"])
def test_first_in_first_out(place, segment_bytes, restart):
    disk, directory = place
    spill = opened(disk, directory, segment_bytes=segment_bytes)
    for chunk in CHUNKS:
        spill.append(*chunk)
    assert spill.last_id() == CHUNKS[-1][0]
    if restart:
        spill.close()
        spill = opened(disk, directory, segment_bytes=segment_bytes)
        assert spill.last_id() == CHUNKS[-1][0]
    assert spill.bytes == sum(SIZES) == sum(disk.sizes(directory).values())
    assert drain(spill) == CHUNKS
    assert spill.empty and spill.bytes == 0 and disk.sizes(directory) == {}


def test_what_comes_while_the_oldest_is_read_comes_after_it(disk):
    spill = filled(disk, CHUNKS[0])
    number, chunks = spill.oldest()
    spill.append(*CHUNKS[1])
    spill.forget(number)
    assert chunks + drain(spill) == CHUNKS[:2]


def test_full_refuses_and_deletes_nothing(disk):
    spill = opened(disk, max_bytes=SIZES[0] + SIZES[1])
    spill.append(*CHUNKS[0])
    spill.append(*CHUNKS[1])
    refused(spill.append, *CHUNKS[2], match="takes no more")
    assert drain(spill) == CHUNKS[:2]
    spill.append(*CHUNKS[2])
    assert drain(spill) == [CHUNKS[2]]


# what a stop leaves


@pytest.mark.parametrize("cut", range(1, SIZES[2] + 1))
def test_a_torn_tail_is_cut_and_what_precedes_it_stays(disk, cut):
    filled(disk, *CHUNKS[:3]).close()
    (path,) = disk.files(DIRECTORY)
    disk.truncate(path, sum(SIZES[:3]) - cut)
    again = opened(disk)
    assert again.bytes == sum(SIZES[:2]) == sum(disk.sizes(DIRECTORY).values())
    again.append(*CHUNKS[3])
    assert drain(again) == [*CHUNKS[:2], CHUNKS[3]]
    assert again.damaged == 0


def story(disk, stored, unsure, gone):
    """Everything that the spill does, once. What it said is in the lists, also when the disk ends the story early."""

    def append(spill, n):
        unsure.append(CHUNKS[n])
        try:
            spill.append(*CHUNKS[n])
        except SpillFailed:
            return
        stored.append(unsure.pop())

    def forget(spill):
        number, chunks = spill.oldest()
        for chunk in chunks:
            unsure.append(chunk)
            if chunk in stored:
                stored.remove(chunk)
        spill.forget(number)
        for chunk in chunks:
            unsure.remove(chunk)
            gone.append(chunk)

    spill = opened(disk, segment_bytes=SIZES[0] + 1)
    append(spill, 0)
    append(spill, 1)
    append(spill, 2)
    forget(spill)
    disk.room = disk._used() + 10
    append(spill, 3)
    disk.room = None
    append(spill, 4)
    disk.kill()
    again = opened(disk)
    append(again, 5)
    append(again, 6)
    forget(again)
    append(again, 7)
    disk.refuse = {"sync": errno.EIO}
    append(again, 8)
    disk.refuse = {}
    append(again, 9)
    again.close()


@pytest.mark.parametrize("what", ["power cut", "kill"])
@pytest.mark.parametrize(
    "choose",
    [lambda n: 0, lambda n: n - 1, lambda n: n // 2, lambda n: 1],
    ids=["nothing unsynced is kept", "everything is kept", "pages in any order", "prefixes are kept"],
)
def test_a_stop_at_any_call_loses_nothing_brings_nothing_back_and_damages_nothing(what, choose):
    for call in range(1000):
        disk, stored, unsure, gone = ModelDisk(), [], [], []
        disk.choose, disk.plan = choose, (call, what)
        try:
            story(disk, stored, unsure, gone)
            break
        except PowerCut:
            disk.power_cut()
        except Killed:
            disk.kill()
        disk.room, disk.refuse = None, {}
        spill = filled(disk, CHUNKS[19])
        disk.power_cut()
        again = opened(disk)
        found = drain(again)
        assert [chunk for chunk in found if chunk not in unsure] == [*stored, CHUNKS[19]], call
        assert found == sorted(found) and not [chunk for chunk in found if chunk in gone], call
        assert (spill.damaged, again.damaged) == (0, 0), call
    assert call > 40


def test_the_directory_of_the_first_chunk_survives_a_power_cut(disk):
    filled(disk, CHUNKS[0])
    disk.power_cut()
    assert drain(opened(disk)) == [CHUNKS[0]]


def test_what_was_seen_after_a_kill_but_was_not_on_disk_yet_is_no_damage_after_a_power_cut(disk):
    spill = filled(disk, CHUNKS[0])
    disk.plan = (1, "kill")  # between the write and its sync
    with pytest.raises(Killed):
        spill.append(*CHUNKS[1])
    disk.kill()
    disk.plan = None
    filled(disk, CHUNKS[2])  # in the next segment
    disk.power_cut()
    again = opened(disk)
    assert drain(again) == CHUNKS[:3]
    assert again.damaged == 0


@pytest.mark.parametrize("choose", [lambda n: 0, lambda n: n - 1, lambda n: n // 2], ids=["lost", "kept", "torn"])
@pytest.mark.parametrize("first", [0, 1], ids=["first of its segment", "in a segment"])
@pytest.mark.parametrize("call", ["sync", "write"])
def test_a_failed_write_is_cut_for_good(disk, call, first, choose):
    spill, disk.choose = filled(disk, *CHUNKS[:first]), choose
    disk.refuse = {call: errno.EIO}
    refused(spill.append, *CHUNKS[1], match="cannot be written")
    disk.refuse = {}
    spill.append(*CHUNKS[2])
    assert spill.bytes == sum(disk.sizes(DIRECTORY).values()) == sum(SIZES[:first]) + SIZES[2]
    disk.power_cut()
    again = opened(disk)
    assert drain(again) == [*CHUNKS[:first], CHUNKS[2]]
    assert again.damaged == 0


def test_a_dropped_segment_does_not_come_back_behind_another(disk):
    """Names reach the disk in any order: an unlink may not be left waiting when the next segment is made."""
    spill = opened(disk)
    disk.room = disk._used() + 20
    refused(spill.append, *CHUNKS[0])
    disk.room, disk.plan = None, (1, "power cut")  # between the next segment's making and its directory's sync
    with pytest.raises(PowerCut):
        spill.append(*CHUNKS[1])
    choices = iter([0])  # the first segment's name as it was, all else kept
    disk.choose, disk.plan = lambda n: next(choices, n - 1), None
    disk.power_cut()
    again = filled(disk, CHUNKS[2])
    assert drain(again) == [CHUNKS[2]]
    assert again.damaged == 0


@pytest.mark.parametrize("refuses", ["truncate", "unlink", "sync_path"])
@pytest.mark.parametrize("first", [0, 1], ids=["first of its segment", "in a segment"])
def test_half_a_chunk_that_cannot_be_cut_is_never_handed_out(disk, refuses, first):
    spill, disk.choose = filled(disk, *CHUNKS[:first]), lambda n: n // 2
    disk.refuse = {"write": errno.EIO, refuses: errno.EIO}
    refused(spill.append, *CHUNKS[1])
    disk.refuse = {}
    spill.append(*CHUNKS[2])
    assert spill.oldest() is not None and spill.damaged == 0
    assert drain(opened(disk)) == [*CHUNKS[:first], CHUNKS[2]]


def test_a_segment_that_cannot_be_made_leaves_the_files_of_others_alone(disk):
    spill = filled(disk, CHUNKS[0])
    spill.close()
    theirs = DIRECTORY / "000000000002.seg"
    disk.put(theirs, encode(*CHUNKS[1]))  # put back by an operator while pixeld runs
    refused(spill.append, *CHUNKS[2], match="File exists")
    spill.append(*CHUNKS[3])
    assert disk.node(theirs).seen == encode(*CHUNKS[1])


def test_a_close_that_fails_costs_nothing(disk):
    disk.refuse = {"close": errno.EIO}
    assert drain(filled(disk, *CHUNKS[:3], segment_bytes=1)) == CHUNKS[:3]


# a full disk


@pytest.mark.parametrize("first", [0, 1], ids=["first of its segment", "in a segment"])
def test_a_full_disk_costs_that_chunk_only(disk, first):
    spill = filled(disk, *CHUNKS[:first])
    disk.room = disk._used() + 20
    refused(spill.append, *CHUNKS[1], match="No space left")
    disk.room = None
    spill.append(*CHUNKS[2])
    assert drain(opened(disk)) == [*CHUNKS[:first], CHUNKS[2]]


def test_a_disk_that_the_spill_has_filled_is_emptied_again(disk):
    """Nothing may have to be written before something is forgotten: there is no room for it."""
    spill = filled(disk, *CHUNKS[:4], segment_bytes=1)
    disk.room = disk._used()
    refused(spill.append, *CHUNKS[4])
    assert drain(spill) == CHUNKS[:4]
    spill.append(*CHUNKS[5])
    assert drain(opened(disk)) == [CHUNKS[5]]


# damage


@pytest.mark.parametrize(
    ("segment_bytes", "flipped", "damaged"),
    [
        pytest.param(1 << 16, [1], 1, id="a chunk between others"),
        pytest.param(1 << 16, [1, 2], 1, id="two in a row are one stretch"),
        pytest.param(1 << 16, [0, 2], 2, id="two apart are two"),
        pytest.param(SIZES[0] + 1, [1], 1, id="the last chunk of a segment that isn't the newest"),
        pytest.param(1, [1], 1, id="a whole segment"),
        pytest.param(1 << 16, [3], 0, id="the last of all can't be told from half a chunk"),
    ],
)
def test_damage_is_skipped_and_counted_once_however_often_it_is_met(disk, caplog, segment_bytes, flipped, damaged):
    filled(disk, *CHUNKS[:4], segment_bytes=segment_bytes)
    for path, file in disk.files(DIRECTORY).items():
        for n in flipped:
            if (at := file.seen.find(encode(*CHUNKS[n]))) >= 0:
                disk.flip(path, (at + 30) * 8)
    again = opened(disk)
    assert again.last_id() == max(chunk[0] for n, chunk in enumerate(CHUNKS[:4]) if n not in flipped)
    found = []
    while again.oldest() is not None:
        for _ in range(3):  # Redis is away again
            number, chunks = again.oldest()
        found += chunks
        again.forget(number)
    assert found == [chunk for n, chunk in enumerate(CHUNKS[:4]) if n not in flipped]
    assert again.damaged == damaged
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert sum(record.stretches for record in told) == damaged
    if damaged == 0:
        (record,) = caplog.records
        assert record.message.startswith("the spill ended in half a chunk") and record.bytes == SIZES[3]


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
    found = scan(raw)
    assert found.end <= len(raw)
    assert sum(stop - start for start, stop in found.damage) + sum(len(encode(*chunk)) for chunk in found.records) == len(raw)


FOREIGN = {"x.seg": b"?", "000000000009.seg.bak": b"a copy", "١٢٣٤٥٦٧٨٩٠١٢.seg": b"?", "cursor": b"", "cursor.new": b"\xff", "7.seg": b"?"}


def test_files_that_are_no_segments_are_left_alone(disk):
    disk.mkdir(DIRECTORY)
    for name, data in FOREIGN.items():
        disk.put(DIRECTORY / name, data)
    assert drain(filled(disk, *CHUNKS[:3])) == CHUNKS[:3]
    assert {path.name: bytes(file.seen) for path, file in disk.files(DIRECTORY).items()} == FOREIGN


# a medium that fails


BIG = [(ChunkId(7, n), b"%d" % n * 3 * BLOCK) for n in range(3)]


def test_a_segment_that_can_be_read_again_has_lost_nothing(disk):
    spill = filled(disk, *CHUNKS[:3])
    disk.refuse = {"read": errno.EIO}
    for _ in range(READ_TRIES):
        refused(spill.oldest, match="cannot be read")
    disk.refuse = {}
    assert drain(spill) == CHUNKS[:3]
    assert spill.damaged == 0


def test_a_block_that_stays_unreadable_costs_no_more_than_its_chunk_and_blocks_nothing(disk):
    spill = filled(disk, *BIG)
    (file,) = disk.files(DIRECTORY).values()
    file.bad.add(4)
    for _ in range(READ_TRIES):
        refused(spill.oldest)
    assert spill.oldest() == spill.oldest() == (1, [BIG[0], BIG[2]])
    assert spill.damaged == 1
    spill.forget(1)
    spill.append(*CHUNKS[0])
    disk.refuse = {"read": errno.EIO}
    refused(spill.oldest)  # the next segment has tries of its own


@pytest.mark.parametrize("earlier", [0, READ_TRIES], ids=["at first", "after errors of the medium"])
@pytest.mark.parametrize("error", [errno.ENOENT, errno.EMFILE, errno.EACCES], ids=errno.errorcode.get)
def test_what_is_no_error_of_the_medium_is_waited_for(disk, error, earlier):
    spill = filled(disk, CHUNKS[0])
    for times, number in ((earlier, errno.EIO), (READ_TRIES + 1, error), (READ_TRIES - earlier, errno.EIO)):
        disk.refuse = {"read": number}
        for _ in range(times):
            refused(spill.oldest, match="put it right, or move it away")
    disk.refuse = {}
    assert drain(spill) == [CHUNKS[0]]


def test_damage_in_the_same_place_of_two_segments_is_counted_in_each(disk):
    spill = filled(disk, *BIG[:2], segment_bytes=1)
    for file in disk.files(DIRECTORY).values():
        file.bad.add(1)
    for _ in range(2):
        for _ in range(READ_TRIES):
            refused(spill.oldest)
        assert spill.oldest()[1] == []
        spill.forget(spill.oldest()[0])
    assert spill.damaged == 2


def test_an_unreadable_segment_is_no_reason_not_to_start(disk):
    filled(disk, *CHUNKS[:3], segment_bytes=1)
    for file in list(disk.files(DIRECTORY).values())[1:]:
        file.bad.add(0)
    again = opened(disk)
    assert again.last_id() == CHUNKS[0][0]
    assert again.segments == 3 and again.bytes == sum(SIZES[:3])


@pytest.mark.parametrize("call", ["mkdir", "sizes", "read", "sync_path"])
def test_a_directory_that_cannot_be_used_is_told_and_what_to_do(disk, call):
    filled(disk, CHUNKS[0])
    disk.refuse = {call: errno.EACCES}
    refused(opened, disk, match="cannot be opened: .*let pixeld read and write there")


def test_a_forgotten_segment_whose_unlink_is_refused_is_still_there(disk):
    spill = filled(disk, *CHUNKS[:2], segment_bytes=1)
    disk.refuse = {"unlink": errno.EIO}
    number, _ = spill.oldest()
    refused(spill.forget, number, match="cannot be dropped")
    assert (spill.segments, spill.bytes) == (2, SIZES[0] + SIZES[1])
    disk.refuse = {}
    assert drain(spill) == CHUNKS[:2]


@pytest.mark.parametrize("kept", [0, 1], ids=["it comes back", "it doesn't"])
def test_a_forgotten_segment_whose_end_is_not_synced_is_not_in_the_way_and_may_come_back(disk, kept):
    spill = filled(disk, *CHUNKS[:2], segment_bytes=1)
    disk.refuse = {"sync_path": errno.EIO}
    refused(spill.forget, spill.oldest()[0])
    disk.refuse, disk.choose = {}, lambda n: min(kept, n - 1)
    assert spill.oldest()[1] == [CHUNKS[1]] and spill.bytes == SIZES[1]
    disk.power_cut()
    assert drain(opened(disk)) == CHUNKS[kept:2]


# the real disk does as the model does


class FullDisk(Disk):
    def create(self, path):
        return Path("/dev/full").open("wb", buffering=0)


def test_a_real_full_disk_is_told(tmp_path):
    spill = opened(FullDisk(), tmp_path)
    refused(spill.append, *CHUNKS[0], match="No space left")


def test_a_real_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    refused(opened, Disk(), tmp_path / "file" / "spill", match="cannot be opened")


def test_disk_and_model_agree(place):
    disk, directory = place
    disk.mkdir(directory)
    disk.mkdir(directory)
    file = disk.create(directory / "a")
    disk.write(file, b"0123456789")
    disk.sync(file)
    file.close()
    disk.sync_path(directory / "a")
    disk.sync_path(directory)
    disk.create(directory / "b").close()
    assert disk.sizes(directory) == {"a": 10, "b": 0}
    assert disk.read(directory / "a", 4, 3) == b"3456"
    assert disk.read(directory / "a", 99, 8) == b"89"
    disk.truncate(directory / "a", 5)
    assert disk.read(directory / "a", 99) == b"01234"
    for error, call in {
        FileExistsError: lambda: disk.create(directory / "a"),
        FileNotFoundError: lambda: disk.unlink(directory / "c"),
    }.items():
        with pytest.raises(error):
            call()
    for call in (disk.sync_path, disk.sizes, lambda path: disk.read(path, 1), lambda path: disk.truncate(path, 1)):
        with pytest.raises(FileNotFoundError):
            call(directory / "c")
    disk.unlink(directory / "a")
    assert disk.sizes(directory) == {"b": 0}


def test_a_sync_is_the_kernels():
    """It refuses to sync a device that can't be, and nothing but fsync asks it to."""
    with Path("/dev/null").open("wb", buffering=0) as file, pytest.raises(OSError, match="Invalid argument"):
        Disk().sync(file)
    with pytest.raises(OSError, match="Invalid argument"):
        Disk().sync_path(Path("/dev/null"))


def test_a_write_goes_on_where_the_kernel_stopped():
    class Slow:
        def __init__(self):
            self.got = b""

        def write(self, data):
            self.got += bytes(data[:3])
            return min(3, len(data))

    Disk().write(slow := Slow(), b"0123456789")
    assert slow.got == b"0123456789"
