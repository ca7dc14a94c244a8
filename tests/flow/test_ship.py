"""Buffer → Redis, or the spill: an answered event is a stored one, once, whatever fails in between."""

import asyncio
import errno
from contextlib import closing

import pytest

from pixeld import app
from pixeld.datadir import DataDir
from pixeld.domain.events import ChunkId, decode
from pixeld.errors import ChunkRefused, QueueAway, SettingsError, SpillFailed
from pixeld.ingest.disk import Disk
from pixeld.ingest.spill import Spill
from pixeld.settings import Settings
from pixeld.storage.redis_queue import RedisQueue
from pixeld.tasks import cancel
from tests.flow.conftest import NODE, Reply, order


async def stored(ingest):
    """Order ids in the stream, in order."""
    chunks = await ingest.queue.read(ChunkId(0, 0), count=100_000)
    return [values[2] for _, data in chunks for _, values in decode(data)]


async def test_an_event_is_in_redis_before_its_reply(start):
    ingest = await start()
    assert await ingest.send(1, 2, 3) == [True] * 3
    assert await stored(ingest) == ["O-1", "O-2", "O-3"]


async def test_events_that_come_together_travel_together(start):
    ingest = await start()
    replies = [Reply() for _ in range(200)]
    for number, reply in enumerate(replies):
        ingest.buffer.append(order(ingest.clock, number), reply)
    await ingest.buffer.drained()
    assert all(reply.stored and reply.released for reply in replies)
    assert len(ingest.queue.pushed) == 1


@pytest.mark.parametrize("fault", [None, "before"], ids=["in Redis", "in the spill"])
async def test_events_that_one_reply_waits_for_are_counted_each(start, fault):
    ingest = await start()
    ingest.queue.faults = [fault]
    before, reply = ingest.shipper.stored, Reply()
    ingest.buffer.append(order(ingest.clock, 1) + order(ingest.clock, 2), reply)
    await ingest.buffer.drained()
    assert reply.stored and ingest.shipper.stored - before == 2
    await ingest.send(3)
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    first, second = await ingest.queue.read(ChunkId(0, 0), count=10)
    assert second[0].earlier - first[0].earlier == 2
    backlog = await ingest.queue.backlog()
    assert backlog.events == 3 and await stored(ingest) == ["O-1", "O-2", "O-3"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("before", id="Redis refused it"),
        pytest.param("after", id="Redis stored it and nobody learned of it"),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2], ids=["first chunk", "middle chunk", "last chunk"])
async def test_a_failed_push_is_spilled_and_comes_back_once_and_in_order(start, fault, position):
    ingest = await start()
    ingest.queue.faults = [None] * position + [fault]
    assert await ingest.send(1, 2, 3) == [True] * 3
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert await stored(ingest) == ["O-1", "O-2", "O-3"]
    assert ingest.spill.empty


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_crash_with_a_spill_that_waits_loses_and_doubles_nothing(start, fault):
    ingest = await start()
    ingest.tasks.pop().cancel()  # no replay: the process dies before Redis is back
    ingest.queue.faults = [None, fault, "before", "before"]
    assert await ingest.send(1, 2, 3, 4) == [True] * 4
    again = await start()
    assert await again.send(5) == [True]
    await asyncio.wait_for(again.shipper.shipped(), 60)
    assert await stored(again) == ["O-1", "O-2", "O-3", "O-4", "O-5"]


async def test_while_anything_is_spilled_everything_goes_through_the_spill(start):
    ingest = await start()
    ingest.tasks.pop().cancel()
    ingest.queue.faults = ["before"]
    await ingest.send(1, 2)
    assert ingest.queue.pushed == []
    assert await stored(ingest) == []
    ingest.tasks.append(asyncio.create_task(ingest.shipper.replay()))
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert await stored(ingest) == ["O-1", "O-2"]
    await ingest.send(3)
    assert ingest.metrics.counts["pixeld_spilled_chunks_total"] == 2


async def test_replay_that_breaks_half_way_begins_again_and_doubles_nothing(start):
    ingest = await start()
    replay = ingest.tasks.pop()
    replay.cancel()
    ingest.queue.faults = ["before", None, "after", None, "before"]
    await ingest.send(1, 2, 3)
    ingest.tasks.append(asyncio.create_task(ingest.shipper.replay()))
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert await stored(ingest) == ["O-1", "O-2", "O-3"]


async def test_what_the_disk_lost_is_counted_once_however_long_redis_is_away(start, tmp_path, caplog):
    ingest = await start()
    ingest.tasks.pop().cancel()
    ingest.queue.faults = ["before"]
    await ingest.send(1, 2, 3)
    (path,) = (tmp_path / "spill").glob("*.seg")
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(raw)
    again = await start()
    again.queue.faults = ["before"] * 3
    await asyncio.wait_for(again.shipper.shipped(), 60)
    assert await stored(again) == ["O-2", "O-3"]
    assert again.metrics.counts["pixeld_spill_damaged_records_total"] == 1
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (told.segment, told.stretches, told.bytes) == (str(path), 1, len(raw) // 3)


class Unreadable(Disk):
    """A disk that can be read again after some times."""

    def __init__(self, times):
        self.times = times

    def read(self, path, size, at=0):
        if self.times:
            self.times -= 1
            raise OSError(errno.EIO, "Input/output error")
        return super().read(path, size, at)


async def test_why_events_wait_is_told_again_when_the_reason_is_another(start, caplog):
    ingest = await start()
    ingest.queue.faults = ["before"] * 3
    ingest.spill._disk = Unreadable(times=3)
    assert await ingest.send(1) == [True]
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert await stored(ingest) == ["O-1"]
    told = [record.reason for record in caplog.records if record.message == "events wait in the spill"]
    assert ["cannot be read" in reason for reason in told] == [True, False]


async def test_neither_redis_nor_spill_is_told_and_the_next_event_is_fine(start, monkeypatch):
    ingest = await start()

    def full(*_):
        raise SpillFailed("full, for the test")

    with monkeypatch.context() as broken:
        broken.setattr(ingest.spill, "append", full)
        ingest.queue.faults = ["before"]
        assert await ingest.send(1) == [False]
    assert await ingest.send(2) == [True]
    assert await stored(ingest) == ["O-2"]


async def test_a_stop_in_the_middle_of_a_push_answers_not_stored(start, monkeypatch):
    ingest = await start()
    entered = asyncio.Event()

    async def hang(*_):
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ingest.queue, "push", hang)
    reply = Reply()
    ingest.buffer.append(order(ingest.clock, 1), reply)
    await entered.wait()
    await ingest.close()
    assert (reply.stored, reply.released) == (False, True)


async def test_the_same_bytes_go_under_the_same_id(start, monkeypatch):
    ingest, seen = await start(), []
    push = ingest.queue.push

    async def write_down(chunk_id, data, meanwhile):
        seen.append((chunk_id, data))
        await push(chunk_id, data)

    monkeypatch.setattr(ingest.queue, "push", write_down)
    ingest.queue.faults = ["after"]
    await ingest.send(1)
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert len(seen) == 2 and seen[0] == seen[1]


async def test_under_steady_load_the_spill_is_left_again(start):
    ingest = await start()
    ingest.queue.faults = ["before"]
    peers, replies = 50, []

    async def load():  # each peer waits for its answer before it sends again, so that a slow disk slows the load
        while True:
            if len(replies) < peers or replies[-peers].released:
                replies.append(Reply())
                assert ingest.buffer.append(order(ingest.clock, len(replies)), replies[-1])
            await asyncio.sleep(0)

    ingest.tasks.insert(0, asyncio.create_task(load()))
    async with asyncio.timeout(60):
        while not ingest.metrics.counts["pixeld_spilled_chunks_total"] or not ingest.spill.empty:
            await asyncio.sleep(0)
        pushed = len(ingest.queue.pushed)
        while len(ingest.queue.pushed) < pushed + 20:
            await asyncio.sleep(0)
    assert ingest.spill.empty
    await cancel(ingest.tasks.pop(0))
    await ingest.shipper.shipped()
    assert all(reply.stored for reply in replies)
    assert await stored(ingest) == [f"O-{n + 1}" for n in range(len(replies))]


@pytest.mark.parametrize("there", [1, 2, 5])
async def test_many_chunks_go_in_one_write_whichever_are_there_already(redis, there):
    queue, chunks = RedisQueue(redis, NODE), [(ChunkId(1, n), b"%d\n" % n) for n in range(5)]
    await queue.push_all(chunks[:there])
    with pytest.raises(ChunkRefused) as refused:
        await queue.push_all(chunks)
    assert refused.value.last == chunks[-1][0]
    assert await queue.read(ChunkId(0, 0), count=100) == chunks


async def test_a_redis_that_is_full_takes_all_chunks_or_none(redis):
    queue, chunks = RedisQueue(redis, NODE), [(ChunkId(1, n), b"x" * 100_000) for n in range(20)]
    used, taken = (await redis.info("memory"))["used_memory"], []
    for room in (-1, 50_000, 1 << 20, 2 << 20, 3 << 20, 4 << 20, 16 << 20):
        await redis.flushall()
        await redis.config_set("maxmemory", used + room)
        try:
            await queue.push_all(chunks)
        except QueueAway:
            pass
        finally:
            await redis.config_set("maxmemory", 0)
        taken.append(len(await queue.read(ChunkId(0, 0), count=100)))
    assert taken == sorted(taken) and set(taken) == {0, 20}


async def test_a_spill_of_many_chunks_comes_back_in_few_writes(start):
    ingest = await start()
    replay = ingest.tasks.pop()
    replay.cancel()
    ingest.queue.faults = ["before"]
    await ingest.send(*range(500))
    writes = (await ingest.queue._redis.info("commandstats")).get("cmdstat_eval", {"calls": 0})["calls"]
    ingest.tasks.append(asyncio.create_task(ingest.shipper.replay()))
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert (await ingest.queue._redis.info("commandstats"))["cmdstat_eval"]["calls"] - writes <= 3
    assert await stored(ingest) == [f"O-{n}" for n in range(500)]


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_stream_that_is_ahead_of_this_start_takes_nothing_for_stored(start, clock, flushed):
    ingest = await start()
    later = ChunkId(clock() + 1_000_000, 0)  # of a start whose clock was ahead, and which the data directory has forgotten
    await ingest.queue.push(later, order(clock, "before"))
    if flushed:
        await ingest.flusher.drain()
    assert await ingest.send(1, 2) == [True, True]
    with pytest.raises(QueueAway, match="it is ahead of this start"):
        await ingest.shipper._replay_oldest()
    assert await stored(ingest) == ([] if flushed else ["O-before"])
    await ingest.close()
    kept = []
    while (segment := ingest.spill.oldest()) is not None:
        kept += [values[2] for _, data in segment[1] for _, values in decode(data)]
        ingest.spill.forget(segment[0])
    assert kept == ["O-1", "O-2"]


async def test_a_server_whose_spill_may_be_older_than_its_queue_does_not_start(valkey, redis, clock, tmp_path):
    settings = Settings(data_dir=tmp_path, redis_url=valkey, port=0, admin_port=0, host="127.0.0.1")
    with closing(DataDir(tmp_path, "the test")) as data, closing(Spill(tmp_path / "spill", 1 << 20)) as spill:
        spill.open()
        spill.append(ChunkId(data.next_epoch(5), 0), order(clock, "1"))
        await RedisQueue(redis, data.node).push(ChunkId(6, 0), order(clock, "later"))
    with pytest.raises(SettingsError, match="move that directory away"):
        async with app.running(settings):
            pass


async def test_what_was_flushed_and_trimmed_meanwhile_is_a_repeat(start):
    ingest = await start()
    ingest.tasks.pop().cancel()
    ingest.queue.faults = ["after"]
    assert await ingest.send(1) == [True]
    await ingest.flusher.drain()
    assert await stored(ingest) == []
    again = await start()
    await asyncio.wait_for(again.shipper.shipped(), 60)
    assert await again.send(2) == [True]
    await again.flusher.drain()
    assert again.warehouse.orders() == ["O-1", "O-2"]


async def test_a_connection_to_what_became_a_replica_is_left(start, redis):
    ingest = await start()
    before = await redis.client_id()
    await redis.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(QueueAway, match="replica"):
            await ingest.queue.push(ChunkId(ingest.clock(), 5), b"x")
    finally:
        await redis.replicaof("NO", "ONE")
    assert await redis.client_id() != before
