"""What an operator is told of a backlog: five figures, right in every state, and a log that speaks when there is something."""

import asyncio
import logging
import socket
from math import isnan

import pytest

from pixeld.domain.events import ChunkId
from pixeld.errors import SpillFailed, WarehouseAway
from pixeld.ingest import ship
from pixeld.storage.redis import DedicatedConnection, connect
from pixeld.storage.redis_queue import RedisQueue
from tests.flow.conftest import Reply, order

AWAY = "unix:///nonexistent/redis.sock"


async def figures(ingest):
    """(age in seconds, events) of what waits, after a look."""
    await ingest.watch.look()
    found = ingest.watch.figures()
    return found["oldest_unflushed_seconds"], found["waiting_events"]


def reach(ingest, redis):
    ingest.queue._redis, ingest.queue._held = redis, DedicatedConnection(redis)


def take_redis_away(ingest):
    ingest.there = ingest.queue._redis
    reach(ingest, connect(AWAY, 1.0))


def bring_redis_back(ingest):
    reach(ingest, ingest.there)


async def test_without_a_backlog_all_is_zero_and_the_log_is_silent(start, caplog):
    ingest = await start()
    assert await figures(ingest) == (0, 0)
    assert set(ingest.watch.figures().values()) == {0}
    ingest.watch.tell()
    assert not caplog.records


async def test_clickhouse_away_from_the_start(start):
    ingest = await start()
    await ingest.send(1, 2)
    ingest.clock.forward(30)
    await ingest.send(3)
    assert await figures(ingest) == (30, 3)
    assert ingest.watch.figures()["queue_chunks"] == 3


async def test_only_what_is_behind_the_last_finished_batch_waits(start):
    ingest = await start()
    ingest.flusher._keep_s = 3600  # flushed chunks stay in the stream
    await ingest.send(1, 2)
    await ingest.flusher.drain()
    ingest.clock.forward(10)
    assert await figures(ingest) == (0, 0)
    await ingest.send(3)
    ingest.clock.forward(5)
    assert await figures(ingest) == (5, 1)
    assert ingest.watch.figures()["queue_chunks"] == 3


async def test_a_batch_on_its_way_still_waits(start):
    ingest = await start()
    await ingest.send(1)
    await ingest.flusher.drain()
    await ingest.send(2, 3)
    ingest.warehouse.faults = ["before"]
    with pytest.raises(WarehouseAway):
        await ingest.flusher.step()
    assert (await figures(ingest))[1] == 2


async def test_events_of_every_start_and_of_chunks_of_any_size_are_counted(start):
    ingest = await start()
    for number in range(50):
        ingest.buffer.append(order(ingest.clock, number), Reply())
    await ingest.buffer.drained()
    ingest = await start()
    await ingest.send(*range(50, 53))
    ingest = await start()
    await ingest.send(53)
    assert (await figures(ingest))[1] == 54
    assert await ingest.flusher.drain() == 54
    assert await figures(ingest) == (0, 0)


async def test_spill_only_because_redis_is_away_from_the_start(start):
    ingest = await start()
    take_redis_away(ingest)
    await ingest.send(1, 2, 3)
    ingest.clock.forward(20)
    assert await figures(ingest) == (20, 3)
    assert "Redis" in ingest.watch.away
    found = ingest.watch.figures()
    assert found["spill_bytes"] > 0 and isnan(found["queue_chunks"]) and isnan(found["dead_letters"])


async def test_a_spill_that_an_earlier_start_left(start):
    ingest = await start()
    take_redis_away(ingest)
    await ingest.send(1, 2, 3)
    for numbers in ((4, 5), (6,)):
        ingest.clock.forward(7)
        ingest = await start()
        take_redis_away(ingest)
        await ingest.send(*numbers)
    assert await figures(ingest) == (14, 6)
    bring_redis_back(ingest)
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert await figures(ingest) == (14, 6)
    assert await ingest.flusher.drain() == 6
    assert await figures(ingest) == (0, 0)


async def test_stream_and_spill_together_and_what_is_in_both_counts_once(start, monkeypatch):
    ingest = await start()
    monkeypatch.setattr(ship, "CHUNK_BYTES", 1)  # chunk by chunk
    ingest.tasks.pop().cancel()  # replay stands
    ingest.queue.faults = [None, "after", "before"]
    await ingest.send(1, 2, 3, 4)  # 1 in Redis; 2 in both, and nobody knows; 3 and 4 in the spill
    ingest.clock.forward(3)
    assert await figures(ingest) == (3, 4)
    ingest.queue.faults = [None, None, *["before"] * 100]
    replaying = asyncio.create_task(ingest.shipper.replay())
    async with asyncio.timeout(60):
        while len(ingest.queue.faults) == 102 or ingest.queue.faults[0] is None:
            await asyncio.sleep(0)
    assert await figures(ingest) == (3, 4)  # 2 and 3 are confirmed, and their segment is still there
    await ingest.flusher.drain()
    assert await figures(ingest) == (3, 1)
    ingest.queue.faults.clear()
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    replaying.cancel()
    assert await figures(ingest) == (3, 1)
    await ingest.flusher.drain()
    assert await figures(ingest) == (0, 0)


async def test_redis_going_away_loses_no_figure(start):
    ingest = await start()
    await ingest.send(1)
    await ingest.flusher.drain()
    await ingest.send(2)
    assert (await figures(ingest))[1] == 1
    await ingest.send(3)  # since the last look
    ingest.clock.forward(9)
    take_redis_away(ingest)
    await ingest.send(4)
    assert await figures(ingest) == (9, 3)
    bring_redis_back(ingest)
    assert await figures(ingest) == (9, 3)


async def test_what_could_not_be_stored_does_not_wait(start, monkeypatch):
    ingest = await start()
    await ingest.send(1)
    with monkeypatch.context() as broken:
        broken.setattr(ingest.spill, "append", lambda *_: (_ for _ in ()).throw(SpillFailed("full, for the test")))
        ingest.queue.faults = ["before"] * 3
        for number in range(3):
            replies = [Reply() for _ in range(10)]
            for reply in replies:
                ingest.buffer.append(order(ingest.clock, number), reply)
            await ingest.buffer.drained()
            assert not any(reply.stored for reply in replies)
    await ingest.send(2)
    assert (await figures(ingest))[1] == 2


@pytest.mark.parametrize(("every_s", "times"), [(60.0, 1), (0.0, 3)], ids=["once a minute", "and after it again"])
async def test_the_log_tells_that_nothing_can_be_stored(start, monkeypatch, caplog, every_s, times):
    monkeypatch.setattr(ship, "_TELL_S", every_s)
    ingest = await start()
    monkeypatch.setattr(ingest.spill, "append", lambda *_: (_ for _ in ()).throw(SpillFailed("full, for the test")))
    ingest.queue.faults = ["before"] * 3
    assert await ingest.send(1, 2, 3) == [False] * 3
    assert sum("503" in record.message for record in caplog.records) == times


async def test_the_buffer(start, monkeypatch):
    ingest = await start()
    held, let_go, push = asyncio.Event(), asyncio.Event(), ingest.queue.push

    async def slow(*args):
        held.set()
        await let_go.wait()
        await push(*args)

    monkeypatch.setattr(ingest.queue, "push", slow)
    ingest.buffer.append(order(ingest.clock, 1), Reply())
    await held.wait()
    ingest.clock.forward(4)
    ingest.buffer.append(order(ingest.clock, 2), Reply())
    assert await figures(ingest) == (4, 0)  # not answered yet
    let_go.set()
    await ingest.buffer.drained()
    assert await figures(ingest) == (4, 2)


async def test_dead_letters_are_shown_and_do_not_wait(start):
    ingest = await start()
    await ingest.send(1, 2)
    await ingest.queue.push(ChunkId(ingest.clock(), 2**63), b"garbage\n")
    ingest.warehouse.poison = {"O-2"}
    await ingest.flusher.drain()
    assert await figures(ingest) == (0, 0)
    assert ingest.watch.figures()["dead_letters"] == 2


async def test_queues_of_other_nodes_are_told_apart(start, redis, clock):
    ingest = await start()
    await ingest.send(1)
    await ingest.queue.announce()
    gone = RedisQueue(redis, "ffffffffffff")
    await gone.announce()
    await gone.push(ChunkId(5, 0), order(clock, 2) + order(clock, 3))
    await gone.push(ChunkId(6, 0), order(clock, 4))
    await gone.bury([("id", "why", b"x")])
    await RedisQueue(redis, "eeeeeeeeeeee").announce()  # holds nothing
    clock.forward(8)
    assert await figures(ingest) == (8, 1)
    assert ingest.watch.others() == {"oldest_unflushed_seconds": 8, "waiting_events": 3, "dead_letters": 1}


async def test_a_redis_that_hangs_costs_a_bounded_time_and_no_figure(start, redis):
    ingest = await start()
    await ingest.send(1)
    ingest.clock.forward(1)
    assert await figures(ingest) == (1, 1)
    ingest.watch._look_s = 0.1
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # connects, and never says a word
        reach(ingest, connect(f"redis://127.0.0.1:{deaf.getsockname()[1]}", 300.0))
        async with asyncio.timeout(60):
            assert await figures(ingest) == (1, 1)
        assert "within" in ingest.watch.away
        await ingest.queue._redis.aclose()


async def test_the_log_warns_of_a_standing_backlog_once_a_minute_and_says_when_it_is_worked_off(start, caplog):
    ingest = await start()
    caplog.set_level(logging.INFO, "pixeld.ingest.watch")
    await ingest.send(1)
    ingest.flusher.problem = "ClickHouse is away, for the test"
    told = []
    for _ in range(13):  # two minutes, a look every ten seconds
        await ingest.watch.look()
        ingest.watch.tell()
        told.append([record.message for record in caplog.records])
        ingest.clock.forward(10)
    assert [len(messages) for messages in told] == [0] * 6 + [1] * 6 + [2]
    warning = caplog.records[-1]
    assert (warning.levelname, warning.reason) == ("WARNING", "ClickHouse is away, for the test")
    assert (warning.oldest_unflushed_seconds, warning.waiting_events) == (120, 1)
    assert (warning.queue_chunks, warning.spill_bytes, warning.dead_letters) == (1, 0, 0)
    await ingest.flusher.drain()
    for _ in range(3):
        await ingest.watch.look()
        ingest.watch.tell()
    assert [record.message for record in caplog.records][2:] == ["the backlog is worked off"]


async def test_the_log_warns_of_other_nodes_backlogs_too(start, redis, clock, caplog):
    ingest, gone = await start(), RedisQueue(redis, "ffffffffffff")
    await gone.announce()
    await gone.push(ChunkId(5, 0), order(clock, 2))
    clock.forward(60)
    await ingest.watch.look()
    ingest.watch.tell()
    assert caplog.records[-1].others["waiting_events"] == 1
    assert not ingest.watch.late  # this node does its part


async def test_what_is_flushed_makes_room_at_once_while_events_wait_in_the_spill(start):
    ingest, pressed = await start(), False
    ingest.flusher._keep_s, ingest.flusher._pressed = 3600, lambda: pressed
    await ingest.send(1)
    await ingest.flusher.drain()
    assert (await ingest.queue.backlog()).chunks == 1
    pressed = True
    await ingest.flusher.drain()
    assert (await ingest.queue.backlog()).chunks == 0
    await ingest.send(2)
    assert await ingest.flusher.step()
    assert (await ingest.queue.backlog()).chunks == 0  # not only with the next step, an interval later


async def test_what_is_flushed_makes_room_also_while_clickhouse_is_away(start):
    ingest = await start()
    ingest.flusher._keep_s = 10
    await ingest.send(1)
    await ingest.flusher.drain()
    await ingest.send(2)
    ingest.warehouse.faults = ["before"]
    ingest.clock.forward(11)
    with pytest.raises(WarehouseAway):
        await ingest.flusher.step()
    assert (await ingest.queue.backlog()).chunks == 1  # the one that waits


async def test_a_spill_that_refuses_says_so_until_there_is_room(start):
    ingest = await start()
    ingest.spill._max_bytes = 200  # one order, not two
    ingest.queue.faults = ["before"] * 1000
    assert await ingest.send(1) == [True]
    assert not ingest.shipper.refusing
    assert await ingest.send(2) == [False]
    assert ingest.shipper.refusing and ingest.spill.bytes < 200
    ingest.queue.faults.clear()
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert not ingest.shipper.refusing
