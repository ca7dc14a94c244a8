"""Redis → warehouse: each batch once under its token, whoever dies between manifest, insert and done."""

import asyncio

import pytest
from redis.exceptions import ResponseError

from pixeld.domain.events import ChunkId
from pixeld.errors import LeaseLost, QueueAway, WarehouseAway
from pixeld.ingest.flush import Flusher
from pixeld.parts import flushing
from pixeld.storage.redis import connect
from pixeld.storage.redis_queue import RedisQueue
from pixeld.storage.registry import Registry
from tests.flow.conftest import NODE, order


async def test_what_is_queued_is_flushed_once_and_trimmed(start):
    ingest = await start()
    await ingest.send(1, 2, 3)
    assert await ingest.flusher.drain() == 3
    assert await ingest.flusher.drain() == 0
    assert ingest.warehouse.orders() == ["O-1", "O-2", "O-3"]
    assert (await ingest.queue.backlog())[0] == 0
    ids = [row["event_id"] for row in ingest.warehouse.tables["order_events"]]
    assert len(set(ids)) == 3 and all(event_id.startswith(NODE) for event_id in ids)


@pytest.mark.parametrize("fault", ["before", "after"], ids=["insert refused", "insert done and nobody learned of it"])
async def test_a_failed_insert_is_repeated_under_the_same_token(start, fault):
    ingest = await start()
    await ingest.send(1, 2)
    ingest.warehouse.faults = [fault]
    with pytest.raises(WarehouseAway):
        await ingest.flusher.step()
    await ingest.send(3)
    await ingest.flusher.drain()
    assert ingest.warehouse.orders() == ["O-1", "O-2", "O-3"]
    assert len(ingest.warehouse.tokens) == 2


@pytest.mark.parametrize("dies", ["after the manifest", "after the insert", "after done"])
async def test_a_crash_at_any_step_leaves_each_event_once(start, monkeypatch, dies):
    ingest = await start()
    await ingest.send(1, 2)
    flusher, write = ingest.flusher, ingest.queue.write_manifest

    async def die(*args):
        if dies == "after the manifest":
            await write(*args)
        elif dies == "after the insert" and args[0].state == "open":
            return await write(*args)
        elif dies == "after done":
            await write(*args)
            if args[0].state == "open":
                return None
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest.queue, "write_manifest", die)
    with pytest.raises(KeyboardInterrupt):
        await flusher.step()
    again = await start()
    await again.send(3)  # more has come: the open batch must not grow by it
    await again.flusher.drain()
    assert again.warehouse.orders() == ["O-1", "O-2", "O-3"]
    assert (await again.queue.manifest()).state == "done"


async def test_the_manifest_is_in_redis_before_the_insert(start, monkeypatch):
    ingest, seen = await start(), []
    await ingest.send(1)

    async def look(*_):
        seen.append((await ingest.queue.manifest()).state)

    monkeypatch.setattr(ingest.warehouse, "insert", look)
    await ingest.flusher.step()
    assert seen == ["open"]


async def test_a_poison_row_goes_to_the_dead_letters_and_costs_nobody_else(start, redis):
    ingest = await start()
    await ingest.send(*range(1, 8))
    ingest.warehouse.poison = {"O-5"}
    await ingest.flusher.drain()
    assert sorted(ingest.warehouse.orders()) == [f"O-{n}" for n in range(1, 8) if n != 5]
    assert (await ingest.queue.backlog())[1] == 1
    ((_, letter),) = await redis.xrange(f"pixeld:{{{NODE}}}:dead")
    assert b'"O-5"' in letter[b"event"] and letter[b"reason"]


async def test_a_chunk_that_is_no_event_goes_to_the_dead_letters(start):
    ingest = await start()
    await ingest.send(1)
    await ingest.queue.push(ChunkId(ingest.clock(), 999), b"garbage\n")
    await ingest.flusher.drain()
    assert ingest.warehouse.orders() == ["O-1"]
    assert (await ingest.queue.backlog())[1] == 1


async def test_two_flushers_never_own_one_queue(start):
    ingest = await start()
    await ingest.send(1)
    first, second = ingest.another_flusher("one"), ingest.another_flusher("two")
    assert await first.step()
    assert not await second.step()
    assert "another flusher" in second.problem
    await first.release()
    await ingest.send(2)
    assert await second.step()
    assert ingest.warehouse.orders() == ["O-1", "O-2"]


async def test_a_flusher_without_the_lease_says_so_and_goes_on_when_it_has_it(start):
    ingest = await start()
    await ingest.send(1)
    other = ingest.another_flusher("other")
    await other.drain()
    task = asyncio.create_task(ingest.flusher.run())
    ingest.tasks.append(task)
    async with asyncio.timeout(60):
        while "another flusher" not in str(ingest.flusher.problem):
            await asyncio.sleep(0)
    await other.release()
    await asyncio.wait_for(ingest.flusher.reached(await ingest.queue.last_id()), 60)  # the other one put it there
    async with asyncio.timeout(60):
        while ingest.flusher.problem is not None:
            await asyncio.sleep(0)
    assert ingest.warehouse.orders() == ["O-1"]


async def test_flushed_chunks_are_kept_for_a_while(start):
    ingest = await start()
    ingest.flusher._keep_s = 60
    await ingest.send(1)
    await ingest.flusher.drain()
    assert (await ingest.queue.backlog())[0] == 1
    ingest.clock.forward(59)
    await ingest.flusher.step()
    assert (await ingest.queue.backlog())[0] == 1
    ingest.clock.forward(1)
    await ingest.flusher.step()
    assert (await ingest.queue.backlog())[0] == 0


async def test_a_flusher_that_slept_past_its_lease_writes_no_manifest(start, monkeypatch, redis):
    ingest = await start()
    await ingest.send(1)
    zombie, heir = ingest.another_flusher("zombie"), ingest.another_flusher("heir")
    insert = ingest.warehouse.insert

    async def sleep_past_the_lease(*args):
        monkeypatch.setattr(ingest.warehouse, "insert", insert)
        await redis.delete(f"pixeld:{{{NODE}}}:lease")  # as if it had run out
        await heir.drain()
        await insert(*args)

    monkeypatch.setattr(ingest.warehouse, "insert", sleep_past_the_lease)
    with pytest.raises(LeaseLost):
        await zombie.step()
    assert ingest.warehouse.orders() == ["O-1"]
    assert (await ingest.queue.manifest()).fence == heir._fence


async def test_batches_are_bounded(start):
    ingest = await start()
    ingest.flusher._max_events = 2
    await ingest.send(*range(5))
    await ingest.flusher.drain()
    assert len(ingest.warehouse.tokens) == 3
    assert len(ingest.warehouse.orders()) == 5


async def test_under_steady_load_a_batch_is_what_came_in_an_interval(start, monkeypatch):
    ingest, pauses, sent = await start(), asyncio.Queue(), 0
    ingest.flusher._interval_s = 3600

    async def pause(seconds):
        assert 3590 < seconds <= 3600
        pauses.put_nowait(len(ingest.warehouse.tokens))
        await asyncio.sleep(0)
        await ingest.flusher._wake.wait()
        ingest.flusher._wake.clear()

    insert = ingest.warehouse.insert

    async def insert_and_send(*args):
        nonlocal sent
        await insert(*args)
        sent += 1
        await ingest.send(-sent)  # there is always more

    monkeypatch.setattr(ingest.flusher, "_pause", pause)
    monkeypatch.setattr(ingest.warehouse, "insert", insert_and_send)
    await ingest.send(0)
    ingest.tasks.append(asyncio.create_task(ingest.flusher.run()))
    async with asyncio.timeout(60):
        for batches in (1, 2, 3):
            assert await pauses.get() == batches
            ingest.flusher._wake.set()


async def test_a_backlog_waits_for_no_interval(start, monkeypatch):
    ingest, paused = await start(), asyncio.Event()
    ingest.flusher._interval_s, ingest.flusher._max_events = 3600, 2

    async def pause(_):
        paused.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ingest.flusher, "_pause", pause)
    await ingest.send(*range(5))
    ingest.tasks.append(asyncio.create_task(ingest.flusher.run()))
    await asyncio.wait_for(paused.wait(), 60)
    assert len(ingest.warehouse.orders()) == 5


async def test_reached_wakes_the_flusher_and_returns_when_it_is_there(start):
    ingest = await start()
    ingest.flusher._interval_s = 3600
    task = asyncio.create_task(ingest.flusher.run())
    ingest.tasks.append(task)
    await ingest.send(1)
    await asyncio.wait_for(ingest.flusher.reached(await ingest.shipper.shipped()), 60)
    assert ingest.warehouse.orders() == ["O-1"]


async def test_a_lease_that_ran_out_and_that_nobody_took_is_still_its_holders(start, redis):
    ingest = await start()
    await ingest.send(1)
    await ingest.flusher.step()
    await redis.delete(f"pixeld:{{{NODE}}}:lease")  # as if an insert had taken longer than the lease
    ingest.clock.forward(5)
    await ingest.send(2)
    assert await ingest.flusher.step()
    assert ingest.warehouse.orders() == ["O-1", "O-2"]
    assert await redis.exists(f"pixeld:{{{NODE}}}:lease")


async def test_a_flusher_whose_lease_was_taken_goes_on_once_it_has_another(start):
    ingest = await start()
    await ingest.send(1)
    await ingest.flusher.step()
    await ingest.flusher._queue.release(ingest.flusher._fence)
    heir = ingest.another_flusher("heir")
    await heir.step()
    ingest.clock.forward(5)
    await ingest.send(2)
    ingest.tasks.append(asyncio.create_task(ingest.flusher.run()))
    async with asyncio.timeout(60):
        while ingest.flusher.problem is None or "newer lease" not in ingest.flusher.problem:
            await asyncio.sleep(0)
    await heir.release()
    ingest.flusher._wake.set()
    await asyncio.wait_for(ingest.flusher.reached(await ingest.queue.last_id()), 60)
    assert ingest.warehouse.orders() == ["O-1", "O-2"]


async def test_a_full_redis_is_emptied_by_flushing(start, redis):
    ingest = await start()
    await ingest.send(*range(20))
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", max(1 << 20, used // 2))
    try:
        assert await ingest.send(99) == [True]  # by way of the spill
        assert not ingest.spill.empty
        await ingest.flusher.drain()
        assert (await ingest.queue.manifest()).state == "done"
        assert (await ingest.queue.backlog())[0] == 0
    finally:
        await redis.config_set("maxmemory", 0)
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    await ingest.flusher.drain()
    assert len(ingest.warehouse.orders()) == 21


MANIFEST, FENCE, LEASE = (f"pixeld:{{{NODE}}}:{name}" for name in ("manifest", "fence", "lease"))


async def test_a_manifest_that_went_back_flushes_nothing_again(start, redis):
    ingest = await start()
    ingest.flusher._keep_s = 60
    await ingest.send(1)
    await ingest.flusher.drain()
    before = await redis.hgetall(MANIFEST)
    await ingest.send(2)
    await ingest.flusher.drain()
    await redis.hset(MANIFEST, mapping=before)  # as on a primary that misses the last writes
    await ingest.send(3)
    await ingest.flusher.drain()
    assert ingest.warehouse.orders() == ["O-1", "O-2", "O-3"]


async def test_an_end_that_was_forgotten_is_written_again_and_inserts_nothing(start, redis):
    ingest = await start()
    ingest.flusher._keep_s = 60
    await ingest.send(1)
    await ingest.flusher.drain()
    await redis.hset(MANIFEST, "state", "open")
    ingest.warehouse.tokens.clear()  # as an engine that knows no tokens
    await ingest.flusher.drain()
    assert ingest.warehouse.orders() == ["O-1"]
    assert (await ingest.queue.manifest()).state == "done"


@pytest.mark.parametrize("lost", ["manifest", "manifest and chunks"])
async def test_a_batch_whose_manifest_was_lost_is_ended_as_it_was_begun(start, redis, lost):
    ingest = await start()
    await ingest.send(1, 2)
    ingest.warehouse.faults = ["after"]
    with pytest.raises(WarehouseAway):
        await ingest.flusher.step()
    await redis.delete(MANIFEST)
    if lost == "manifest and chunks":
        await redis.xtrim(f"pixeld:{{{NODE}}}:queue", maxlen=1)
    await ingest.send(3)
    await ingest.flusher.drain()
    assert ingest.warehouse.orders() == ["O-1", "O-2", "O-3"]
    assert len(ingest.warehouse.tokens) == 2


async def test_a_batch_that_another_flusher_has_ended_is_not_begun_again(start, redis):
    ingest = await start()
    ingest.flusher._keep_s = 60
    await ingest.send(1, 2)
    ingest.warehouse.faults = ["before"]
    with pytest.raises(WarehouseAway):
        await ingest.flusher.step()
    await redis.delete(LEASE)
    heir = ingest.another_flusher("heir")
    heir._keep_s = 60
    await ingest.send(3)
    await heir.drain()
    await heir.release()
    ingest.clock.forward(5)
    with pytest.raises(LeaseLost):
        await ingest.flusher.step()
    ingest.warehouse.tokens.clear()
    assert await ingest.flusher.drain() == 0
    assert ingest.warehouse.orders() == ["O-1", "O-2", "O-3"]


async def test_a_grant_that_was_lost_gives_nobody_the_same_fence(start, redis):
    ingest = await start()
    await redis.set(FENCE, 41)
    one = await ingest.queue.acquire("one", 10_000)
    await redis.set(FENCE, 41)
    await redis.delete(LEASE)  # as on a primary that misses the grant
    two = await RedisQueue(redis, NODE).acquire("two", 10_000)
    assert one > 41 and two > 41 and one != two
    with pytest.raises(LeaseLost):
        await ingest.queue.renew(one, 10_000)


async def test_a_lost_lease_can_be_had_again(start, redis):
    ingest = await start()
    orphan = ingest.another_flusher("orphan")
    await ingest.send(1)
    await orphan.drain()
    await redis.set(FENCE, 1)
    ingest.clock.forward(5)
    with pytest.raises(LeaseLost):
        await orphan.step()
    await ingest.send(2)
    assert await orphan.drain() == 1


async def test_under_steady_load_flushing_is_called_well_again(start):
    ingest, sent = await start(), 0
    ingest.warehouse.faults = ["before"]
    await ingest.send(0)
    ingest.tasks.append(asyncio.create_task(ingest.flusher.run()))
    async with asyncio.timeout(60):
        while ingest.flusher.problem != "refused for the test":
            await asyncio.sleep(0)
    insert = ingest.warehouse.insert

    async def insert_and_send(*args):
        nonlocal sent
        await insert(*args)
        sent += 1
        await ingest.send(sent)

    ingest.warehouse.insert = insert_and_send
    async with asyncio.timeout(60):
        while ingest.flusher.problem is not None:
            await asyncio.sleep(0)
    ingest.warehouse.insert = insert
    assert sent > 0


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda q: q.announce(), id="announce"),
        pytest.param(lambda q: q.push(ChunkId(1, 1), b"x"), id="push"),
        pytest.param(lambda q: q.push_all([(ChunkId(1, 1), b"x")]), id="push all"),
        pytest.param(lambda q: q.last_id(), id="last id"),
        pytest.param(lambda q: q.read(ChunkId(0, 0), count=1), id="read"),
        pytest.param(lambda q: q.acquire("x", 1), id="acquire"),
        pytest.param(lambda q: q.renew(1, 1), id="renew"),
        pytest.param(lambda q: q.release(1), id="release"),
        pytest.param(lambda q: q.manifest(), id="manifest"),
        pytest.param(lambda q: q.bury([("id", "why", b"x")]), id="bury"),
        pytest.param(lambda q: q.trim(ChunkId(1, 1)), id="trim"),
        pytest.param(lambda q: q.backlog(), id="backlog"),
    ],
)
async def test_without_redis_every_call_raises_the_one_error(call):
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    with pytest.raises(QueueAway, match="Redis"):
        await call(RedisQueue(nowhere, NODE))
    await nowhere.aclose()


async def test_the_queue_of_a_node_that_is_gone_is_flushed_and_trimmed(start, redis, clock, monkeypatch):
    ingest, gone = await start(), RedisQueue(redis, "ffffffffffff")
    await gone.announce()
    await gone.push(ChunkId(1, 1), order(clock, "left-behind"))

    def flusher_of(node):
        return Flusher(
            RedisQueue(redis, node), ingest.warehouse, ingest.metrics, node=node, owner=NODE, clock=clock,
            interval_s=1, max_events=1000, keep_s=60, lease_s=10,
        )  # fmt: skip

    monkeypatch.setattr(flushing, "_ADOPT_S", 0)
    ingest.flusher.problem = None
    ingest.tasks.append(asyncio.create_task(flushing.adopt(redis, {NODE: ingest.flusher}, flusher_of)))
    async with asyncio.timeout(60):
        while "O-left-behind" not in ingest.warehouse.orders():
            await asyncio.sleep(0)
        while (await gone.backlog())[0]:
            clock.forward(61)
    assert ingest.warehouse.orders() == ["O-left-behind"]


async def test_the_queue_of_a_node_that_lives_is_left_alone(start, redis, clock, monkeypatch):
    ingest = await start()
    await ingest.send(1)
    living = ingest.another_flusher("living")
    assert await living._own()
    assert await ingest.another_flusher("other").drain() == 0
    assert ingest.warehouse.orders() == []


@pytest.fixture
async def full(redis):
    """Makes Redis full, and lets the test see what works nevertheless. Scripts are as unknown to it as after its restart."""

    async def fill():
        await redis.script_flush()
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", max(1 << 20, used // 2))
        with pytest.raises(ResponseError, match="maxmemory"):
            await redis.set("anything", "x")

    yield fill
    await redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("flags", [True, False], ids=["Redis 7 and Valkey", "Redis 6.2, which knows no flags"])
async def test_a_full_redis_is_flushed_by_a_new_process_poison_included(start, redis, full, clock, monkeypatch, flags):
    ingest = await start()
    await ingest.send(1, 2, 3)
    await ingest.queue.push(ChunkId(clock(), 2**63), b"garbage\n")
    ingest.warehouse.poison = {"O-2"}
    if not flags:
        register = redis.register_script

        def without_flags(text):
            if text.startswith("#!"):
                raise ResponseError("Error compiling script (new function): unexpected symbol near '#'")
            return register(text)

        monkeypatch.setattr(redis, "register_script", without_flags)
    await full()
    await ingest.queue.announce()
    await ingest.flusher.drain()
    assert ingest.warehouse.orders() == ["O-1", "O-3"]
    backlog = await ingest.queue.backlog()
    assert (backlog.chunks, backlog.dead_letters) == (0, 2)
    await ingest.flusher.release()


async def test_clients_and_partners_are_read_from_a_full_redis(redis, full, clock):
    def registry():
        return Registry(redis, clock, changed=lambda _: None, keep=lambda _: None, kept=None)

    await registry().add_client({"id": "shop", "name": "S", "landing_url": "https://shop.example/"}, "test")
    await full()
    again = registry()
    await again.refresh()
    assert "shop" in again.snapshot.clients
    assert len(await again.audit(10)) == 1
    with pytest.raises(QueueAway, match="maxmemory"):  # and a change is refused, not half made
        await again.change_client("shop", {"name": "T"}, "test")
    await again.refresh()
    assert again.snapshot.clients["shop"].name == "S"


@pytest.mark.parametrize(("size", "chunks", "reads"), [(200, 1000, 4), (100_000, 50, 51)], ids=["small chunks", "large chunks"])
async def test_what_is_read_at_once_is_bounded(start, monkeypatch, clock, size, chunks, reads):
    ingest, pages = await start(), []
    read = ingest.queue.read

    async def noted(*args, **kwargs):
        pages.append(await read(*args, **kwargs))
        return pages[-1]

    line = order(clock, "x" * size)
    for number in range(chunks):
        await ingest.queue.push(ChunkId(clock(), number), line)
    monkeypatch.setattr(ingest.queue, "read", noted)
    ingest.flusher._max_events = 10_000
    await ingest.flusher.step()
    assert max(sum(len(data) for _, data in page) for page in pages) <= 150 << 10
    assert len(pages) <= reads


async def test_once_a_batch_has_gone_through_no_problem_is_told_however_many_are_left(start, monkeypatch):
    ingest, entered = await start(), asyncio.Event()
    await ingest.send(1, 2, 3)
    ingest.flusher._max_events, ingest.flusher.problem = 1, "ClickHouse is away, for the test"
    insert = ingest.warehouse.insert

    async def stop_at_the_second(*args):
        if ingest.warehouse.orders():
            entered.set()
            await asyncio.Event().wait()
        await insert(*args)

    monkeypatch.setattr(ingest.warehouse, "insert", stop_at_the_second)
    ingest.tasks.append(asyncio.create_task(ingest.flusher.run()))
    await asyncio.wait_for(entered.wait(), 60)
    assert ingest.flusher.problem is None
