"""Group commit: nobody's reply leaves before its event is durable, nobody waits for a timer, memory is bounded."""

import asyncio

import pytest

from pixeld.ingest.buffer import CHUNK_BYTES, Buffer


class Reply:
    """A waiter that writes down what it was told, and when."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def settle(self, stored):
        self.log.append((self.name, "settled", stored))

    def release(self):
        self.log.append((self.name, "released"))


async def test_what_gathers_while_a_chunk_is_away_is_the_next_chunk():
    buffer, log = Buffer(1000), []
    buffer.append(b"a\n", Reply(log, "a"))
    first = await buffer.take()
    buffer.append(b"b\n", Reply(log, "b"))
    buffer.append(b"c\n", Reply(log, "c"))
    second = await buffer.take()
    assert (first.data, second.data) == (b"a\n", b"b\nc\n")
    assert log == []
    buffer.settle(first, True)
    buffer.settle(second, False)
    assert log == [
        ("a", "settled", True), ("a", "released"),
        ("b", "settled", False), ("c", "settled", False), ("b", "released"), ("c", "released"),
    ]  # fmt: skip


async def test_full_takes_nothing_until_something_is_settled():
    buffer, log = Buffer(5), []
    assert buffer.append(b"abcd\n", Reply(log, "a"))
    assert not buffer.append(b"\n", Reply(log, "b"))
    chunk = await buffer.take()
    assert not buffer.append(b"\n", Reply(log, "b")), "a chunk on its way still takes room"
    buffer.settle(chunk, True)
    assert buffer.bytes == 0
    assert buffer.append(b"\n", Reply(log, "b"))


async def test_take_waits_for_the_first_event():
    buffer = Buffer(100)
    taking = asyncio.ensure_future(buffer.take())
    await asyncio.sleep(0)
    assert not taking.done()
    buffer.append(b"a\n", Reply([], "a"))
    assert (await taking).data == b"a\n"


async def test_a_chunk_is_bounded_and_nothing_is_lost_or_reordered():
    buffer, lines = Buffer(10 * CHUNK_BYTES), [b"%07d" % n + b"x" * 999 + b"\n" for n in range(3000)]
    for line in lines:
        assert buffer.append(line, Reply([], line))
    taken = []
    while sum(len(chunk.waiters) for chunk in taken) < len(lines):
        taken.append(await buffer.take())
    assert b"".join(chunk.data for chunk in taken) == b"".join(lines)
    assert all(len(chunk.data) <= CHUNK_BYTES for chunk in taken)


async def test_one_event_larger_than_a_chunk_travels_alone():
    buffer = Buffer(4 * CHUNK_BYTES)
    huge = b"x" * (CHUNK_BYTES + 5)
    buffer.append(huge, Reply([], "huge"))
    buffer.append(b"a", Reply([], "a"))
    assert (await buffer.take()).data == huge
    assert (await buffer.take()).data == b"a"


async def test_drained_waits_for_what_was_there_and_not_for_what_comes():
    buffer = Buffer(100)
    await buffer.drained()
    buffer.append(b"a", Reply([], "a"))
    chunk = await buffer.take()
    waiting = asyncio.ensure_future(buffer.drained())
    await asyncio.sleep(0)
    buffer.append(b"b", Reply([], "b"))
    assert not waiting.done()
    buffer.settle(chunk, True)
    await asyncio.wait_for(waiting, 60)


@pytest.mark.parametrize("stored", [True, False])
async def test_every_waiter_is_settled_exactly_once(stored):
    buffer, log = Buffer(1000), []
    for name in range(10):
        buffer.append(b"e\n", Reply(log, name))
    buffer.settle(await buffer.take(), stored)
    assert [entry for entry in log if entry[1] == "settled"] == [(name, "settled", stored) for name in range(10)]


async def test_closed_it_takes_nothing_and_leaves_nobody_waiting():
    buffer, log = Buffer(1000), []
    buffer.append(b"a\n", Reply(log, "a"))
    buffer.close()
    assert log == [("a", "settled", False), ("a", "released")]
    assert not buffer.append(b"b\n", Reply(log, "b"))
    await buffer.drained()
    assert buffer.bytes == 0
