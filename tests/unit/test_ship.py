"""When replies are let go: with the next chunk on its way, and never held for one that isn't."""

import asyncio

import pytest

from pixeld.ingest.buffer import Buffer
from pixeld.ingest.ship import Shipper
from pixeld.ingest.spill import Spill
from pixeld.metrics import Metrics


class Gate:
    """A queue that says when it has been asked, and does each step when it is told to."""

    def __init__(self):
        self.asked, self.steps = asyncio.Queue(), asyncio.Queue()

    async def push(self, chunk_id, data, meanwhile):
        self.asked.put_nowait(data)
        while (step := await self.steps.get()) != "stored":
            assert step == "sent"
            meanwhile()


class Reply:
    def __init__(self):
        self.left, self.stored = asyncio.Event(), None

    def settle(self, stored):
        self.stored = stored

    def release(self):
        self.left.set()


@pytest.fixture
async def parts(tmp_path):
    spill = Spill(tmp_path / "spill", 10_000)
    spill.open()
    buffer, queue = Buffer(10_000), Gate()
    running = asyncio.create_task(Shipper(buffer, queue, spill, Metrics(), 1).run())
    yield buffer, queue
    running.cancel()
    await asyncio.wait([running])
    spill.close()


async def first_is_stored_and_second_follows(buffer, queue):
    replies = [Reply(), Reply()]
    for number, reply in enumerate(replies):
        buffer.append(b"%d\n" % number, reply)
        if not number:
            assert await queue.asked.get() == b"0\n"
    queue.steps.put_nowait("stored")
    assert await queue.asked.get() == b"1\n"
    return replies


async def test_replies_leave_while_the_next_chunk_is_on_its_way(parts):
    buffer, queue = parts
    first, second = await first_is_stored_and_second_follows(buffer, queue)
    assert not first.left.is_set()
    queue.steps.put_nowait("sent")
    await asyncio.wait_for(first.left.wait(), 60)
    assert not second.left.is_set()
    queue.steps.put_nowait("stored")
    await asyncio.wait_for(second.left.wait(), 60)
    assert buffer.bytes == 0


async def test_a_next_chunk_that_is_held_up_holds_no_reply(parts):
    """As by a connection that has to be made anew: nothing is sent, and the replies leave within milliseconds."""
    buffer, queue = parts
    first, second = await first_is_stored_and_second_follows(buffer, queue)
    await asyncio.wait_for(first.left.wait(), 60)
    assert not second.left.is_set()


async def test_where_nothing_follows_nothing_is_waited_for(parts):
    buffer, queue = parts
    reply = Reply()
    buffer.append(b"0\n", reply)
    await queue.asked.get()
    queue.steps.put_nowait("stored")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert reply.left.is_set()


async def test_a_stop_lets_go_what_is_owed(tmp_path):
    spill = Spill(tmp_path / "spill", 10_000)
    spill.open()
    buffer, queue = Buffer(10_000), Gate()
    running = asyncio.create_task(Shipper(buffer, queue, spill, Metrics(), 1).run())
    first, second = await first_is_stored_and_second_follows(buffer, queue)
    running.cancel()
    await asyncio.wait([running])
    assert (first.stored, second.stored) == (True, False)
    assert first.left.is_set() and second.left.is_set()
    spill.close()
