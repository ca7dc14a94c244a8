"""The spill under everything that a disk, a kill and a power cut can do to it, at every call it makes, checked against a model.

`HYPOTHESIS_PROFILE=deep` looks for some minutes. What was ever found stands as a test of its own in test_spill.py.
"""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pixeld.domain.events import ChunkId
from pixeld.errors import SpillFailed
from pixeld.ingest.spill import READ_TRIES, Spill, encode
from tests.unit.disk import BLOCK, Killed, ModelDisk, PowerCut

DIRECTORY = Path("/data/spill")
FOREIGN = {"x.seg": b"not a segment", "000000000003.seg.bak": b"a copy", "notes.txt": b"", "١٢٣٤٥٦٧٨٩٠١٢.seg": b"digits, but not ours"}
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"

# What a world may do in the middle of a call, and so how strict the model can be: where the disk is sound, nothing is ever damaged.
WORLDS = {
    "stops": ["power cut", "kill"],
    "a disk that fails": ["error", "errors"],
    "everything": ["power cut", "kill", "error", "errors"],
}
# At which call, and which of the world's; none two times of three.
FAULTS = st.tuples(st.integers(0, 2), st.integers(0, 7), st.integers(0, 3)).map(lambda drawn: None if drawn[0] else drawn[1:])
TEXT = b'["o",1800000000000,"PXS1","O-1"]\n'  # a line with the magic in it


class Stopped(Exception):
    """The process or the machine stopped in the middle of a call."""


class SpillMachine(RuleBasedStateMachine):
    """The model: which chunks must come back, which may, and which never may."""

    def __init__(self):
        super().__init__()
        self.sent = {}  # every id ever given to `append` → its bytes
        self.must = {}  # id → (file, position): `append` returned, and no `forget` was called for it
        self.may = set()  # `append` or `forget` didn't return, so nothing is promised of it
        self.harmed = set()  # the disk lost a part of it
        self.number = 0  # the last id's
        self.epoch = 0
        self.held = None  # what `oldest` gave and nobody forgot
        self.harmless = True  # no disk has failed, no bit has turned
        self.spill = None

    @initialize(
        world=st.sampled_from(sorted(WORLDS)),
        segment=st.sampled_from([1, 200, 1 << 20]),
        most=st.sampled_from([300, 20_000]),
        there=st.booleans(),
    )
    def begin(self, world, segment, most, there):
        self.disk, self.limits, self.faults = ModelDisk(), (most, segment), WORLDS[world]
        if there:
            self.disk.mkdir(DIRECTORY)
            for name, data in FOREIGN.items():
                self.disk.put(DIRECTORY / name, data)
        self.boot()

    # what happens

    @rule(data=st.data(), fault=FAULTS, at_start=FAULTS, size=st.sampled_from([0, 1, 5, 170]))
    def append(self, data, fault, at_start, size):
        self.number += 1
        chunk_id, chunk = ChunkId(self.epoch, self.number), b"%d " % self.number + TEXT * size
        fits = self.spill.bytes + len(encode(chunk_id, chunk)) <= self.limits[0]
        try:
            self.call(data, fault, lambda: self.spill.append(chunk_id, chunk))
        except SpillFailed:
            assert not fits or fault or self.disk.room is not None, "refused for no reason"
            if fits:
                self.sent[chunk_id] = chunk
                self.may.add(chunk_id)
        except Stopped:
            self.sent[chunk_id] = chunk
            self.may.add(chunk_id)
            self.boot(data, at_start)
        else:
            assert fits, "took more than its bound"
            assert self.spill.last_id() == chunk_id
            self.sent[chunk_id] = chunk
            file = list(self.segments().values())[-1]
            self.must[chunk_id] = (file, file.seen.rindex(encode(chunk_id, chunk)))
            for block in file.bad:
                self.harm(file, block * BLOCK, (block + 1) * BLOCK)

    @rule(data=st.data(), fault=FAULTS, at_start=FAULTS)
    def oldest(self, data, fault, at_start):
        try:
            self.look(data, fault)
        except Stopped:
            self.boot(data, at_start)

    @rule(data=st.data(), fault=FAULTS, at_start=FAULTS)
    def forget(self, data, fault, at_start):
        if self.held is None and self.look(data) is None:
            return
        (number, inside), self.held = self.held, None
        for chunk_id in inside:
            self.must.pop(chunk_id, None)
        self.may |= inside
        try:
            self.call(data, fault, lambda: self.spill.forget(number))
        except SpillFailed:
            assert fault, "not forgotten for no reason"
        except Stopped:
            self.boot(data, at_start)
        else:
            self.may -= inside
            for chunk_id in inside:  # whatever is handed out and was not sent is wrong
                self.sent.pop(chunk_id)

    @rule(data=st.data(), how=st.sampled_from(["restart", "kill", "power cut"]), fault=FAULTS)
    def start_again(self, data, how, fault):
        if how == "restart":
            self.spill.close()
        elif how == "kill":
            self.disk.kill()
        else:
            self.disk.choose = lambda n: data.draw(st.integers(0, n - 1))
            self.disk.power_cut()
        self.boot(data, fault)

    @precondition(lambda self: len(self.faults) > 2 and self.segments())
    @rule(data=st.data(), how=st.sampled_from(["flip a bit", "lose a block"]))
    def damage(self, data, how):
        path = data.draw(st.sampled_from(sorted(self.segments())))
        file = self.segments()[path]
        if how == "lose a block":
            block = data.draw(st.integers(0, len(file.seen) // BLOCK))
            file.bad.add(block)
            self.harm(file, block * BLOCK, (block + 1) * BLOCK)
        elif file.kept:
            bit = data.draw(st.integers(0, len(file.kept) * 8 - 1))
            self.disk.flip(path, bit)
            self.harm(file, bit // 8, bit // 8 + 1)

    @rule(free=st.sampled_from([None, 0, 30, 200]))
    def fill_the_disk(self, free):
        self.disk.room = None if free is None else self.disk._used() + free

    # what must hold

    @invariant()
    def it_counts_right(self):
        if self.spill is None:
            return
        sizes = [len(file.seen) for file in self.segments().values()]
        assert self.spill.empty == (self.spill.segments == 0)
        assert self.spill.bytes <= max(self.limits[0], self.bytes_at_start)
        if self.disk.failed == self.failed_at_start:  # else what couldn't be cut or removed may lie there
            assert (self.spill.segments, self.spill.bytes) == (len(sizes), sum(sizes))
        else:
            assert self.spill.segments <= len(sizes) and self.spill.bytes <= sum(sizes)
        for name, data in FOREIGN.items():
            if (file := self.disk.files(DIRECTORY).get(DIRECTORY / name)) is not None:
                assert file.seen == data

    def teardown(self):
        if self.spill is None:
            return
        self.disk.room, self.disk.choose = None, lambda n: 0
        while self.look() is not None:
            number, inside = self.held
            self.spill.forget(number)
            for chunk_id in inside:
                self.must.pop(chunk_id, None)
                self.sent.pop(chunk_id)
        assert self.spill.empty and self.spill.bytes == 0

    # the harness

    def segments(self):
        """Path → file, of the segments there are."""
        return {path: file for path, file in self.disk.files(DIRECTORY).items() if path.name not in FOREIGN}

    def harm(self, file, start, stop):
        self.harmless = False
        for chunk_id, (home, at) in self.must.items():
            if home is file and at < stop and start < at + len(encode(chunk_id, self.sent[chunk_id])):
                self.harmed.add(chunk_id)

    def call(self, data, fault, call):
        """What the call returns or raises; Stopped when it came to no end."""
        if data is not None:
            self.disk.choose = lambda n: data.draw(st.integers(0, n - 1))
        self.disk.plan, failed = fault and (fault[0], self.faults[fault[1] % len(self.faults)]), self.disk.failed
        try:
            return call()
        except PowerCut:
            self.disk.power_cut()
            raise Stopped from None
        except Killed:
            self.disk.kill()
            raise Stopped from None
        finally:
            self.disk.plan = None
            if fault and self.disk.failed > failed:
                self.harmless = False

    def boot(self, data=None, fault=None):
        """Start the process, again if it is stopped while it does."""
        self.held, self.spill = None, None
        spill, failed = Spill(DIRECTORY, *self.limits, disk=self.disk), self.disk.failed
        try:
            self.call(data, fault, spill.open)
        except (SpillFailed, Stopped):
            assert fault, "doesn't start for no reason"
            self.disk.kill()
            spill, failed = Spill(DIRECTORY, *self.limits, disk=self.disk), self.disk.failed
            self.call(data, None, spill.open)
        self.spill, self.told = spill, set()
        self.bytes_at_start, self.failed_at_start = spill.bytes, failed
        self.epoch += 1
        assert spill.last_id() < ChunkId(self.epoch, 0)
        if self.disk.failed == failed:
            assert spill.last_id() >= max(self.must.keys() - self.harmed, default=ChunkId(0, 0))
        if self.harmless:
            there = [i for file in self.segments().values() for i, data in self.sent.items() if encode(i, data) in file.seen]
            assert spill.last_id() == max(there, default=ChunkId(0, 0))

    def look(self, data=None, fault=None):
        """`oldest`, as often as a segment that can't be read takes."""
        for _ in range(READ_TRIES + 2):  # one may be the fault's
            before = self.spill.damaged
            try:
                found = self.call(data, fault, self.spill.oldest)
                break
            except SpillFailed:
                assert fault or any(file.bad for file in self.segments().values()), "not read for no reason"
                assert self.spill.damaged == before
                fault = None
        else:
            pytest.fail("a segment that can't be read is in the way for ever")
        if found is None:
            assert not self.must.keys() - self.harmed, "lost"
            return None
        number, chunks = found
        file = self.segments()[DIRECTORY / f"{number:012d}.seg"]
        ids = [chunk_id for chunk_id, _ in chunks]
        assert all(self.sent.get(chunk_id) == chunk for chunk_id, chunk in chunks), "never sent, or forgotten, or not the same bytes"
        assert all(a < b for a, b in pairwise(ids)), "out of order"
        due = self.must.keys() - self.harmed
        here = {i for i in due if self.must[i][0] is file}
        assert here <= set(ids), "lost"
        assert all(i >= max(ids, default=i) for i in due - here), "out of order, or lost"
        self.held = (number, {*ids, *(i for i, (home, _) in self.must.items() if home is file)})
        self.count_damage(file, self.spill)
        return found

    def count_damage(self, file, spill):
        """Each stretch that holds no whole chunk is counted once; and none is there when nothing was ever wrong with the disk."""
        image = bytearray(file.seen)
        for block in file.bad:
            image[block * BLOCK : (block + 1) * BLOCK] = bytes(len(image[block * BLOCK : (block + 1) * BLOCK]))
        whole = sorted((at, at + len(r)) for i, d in self.sent.items() if (at := image.find(r := encode(i, d))) >= 0)
        ends = [0, *(stop for _, stop in whole)], [*(start for start, _ in whole), len(image)]
        self.told |= {(file, start, stop) for start, stop in zip(*ends, strict=True) if start < stop}
        if self.disk.failed == self.failed_at_start:
            assert spill.damaged == len(self.told), "damage counted twice, or not at all"
        else:
            assert spill.damaged <= len(self.told)
        assert spill.damaged == 0 or not self.harmless, "damage where there is none"


SpillMachine.TestCase.settings = settings(
    max_examples=5_000 if DEEP else 120,
    stateful_step_count=60 if DEEP else 30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestSpill = pytest.mark.timeout(0)(SpillMachine.TestCase) if DEEP else SpillMachine.TestCase
