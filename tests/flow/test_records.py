"""Records on a real Valkey: compare-and-set, one-time, over when their time is over."""

import asyncio

import pytest

from pixeld.domain.ports import Record
from pixeld.errors import AlreadyExists, Conflict, QueueAway
from pixeld.storage import rewriting
from pixeld.storage.records import RedisRecords
from pixeld.storage.redis import connect


@pytest.fixture
def records(redis, clock):
    return RedisRecords(redis, clock)


async def test_a_record_is_read_as_it_was_written_and_its_version_grows(records):
    assert await records.read("thing", "a") is None
    assert await records.write("thing", "a", {"n": 1, "text": "ä\n"}, expected=0) == 1
    assert await records.read("thing", "a") == Record({"n": 1, "text": "ä\n"}, 1)
    assert await records.write("thing", "a", {"n": 2}, expected=1) == 2
    assert await records.read("thing", "a") == Record({"n": 2}, 2)


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        pytest.param(0, AlreadyExists, id="it must not exist, and does"),
        pytest.param(1, Conflict, id="somebody else was faster"),
        pytest.param(3, Conflict, id="a version that never was"),
    ],
)
async def test_a_write_that_expects_another_version_changes_nothing(records, expected, error):
    await records.write("thing", "a", {"n": 1}, expected=0)
    await records.write("thing", "a", {"n": 2}, expected=1)
    with pytest.raises(error):
        await records.write("thing", "a", {"n": 3}, expected=expected)
    assert await records.read("thing", "a") == Record({"n": 2}, 2)


async def test_a_change_of_what_is_gone_is_a_conflict(records):
    await records.write("thing", "a", {}, expected=0)
    await records.delete("thing", "a")
    with pytest.raises(Conflict):
        await records.write("thing", "a", {}, expected=1)


async def test_of_many_who_write_at_once_one_wins(records):
    await records.write("thing", "a", {"n": 0}, expected=0)
    writes = [records.write("thing", "a", {"n": n}, expected=1) for n in range(20)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(outcome == 2 for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19


async def test_of_many_who_take_a_record_one_gets_it(records):
    await records.write("thing", "a", {"n": 1}, expected=0)
    taken = await asyncio.gather(*(records.take("thing", "a") for _ in range(20)))
    assert [value for value in taken if value is not None] == [{"n": 1}]
    assert await records.ids("thing") == []


async def test_many_are_read_at_a_time_those_that_there_are_in_the_order_asked_for(records, trips, clock):
    for n in range(120):
        await records.write("thing", f"{n:03d}", {"n": n}, expected=0, ttl_s=10 if n == 7 else None)
    clock.forward(10)
    trips.clear()
    assert [(id, record.value["n"]) async for id, record in records.each("thing")] == [(f"{n:03d}", n) for n in range(120) if n != 7]
    assert len(trips) <= 4  # their ids, and 50 at a time
    trips.clear()
    assert [id async for id, _ in records.each("thing", ["009", "nothing", "007", "008"])] == ["009", "008"]
    assert len(trips) == 1
    assert [id async for id, _ in records.each("nothing")] == []


async def test_a_record_is_over_when_its_time_is(records, clock):
    await records.write("thing", "a", {}, expected=0, ttl_s=10)
    await records.write("thing", "b", {}, expected=0)
    clock.forward(9)
    assert (await records.read("thing", "a")).left_s == 1
    assert await records.ids("thing") == ["a", "b"]
    clock.forward(1)
    assert await records.read("thing", "a") is None
    assert await records.take("thing", "a") is None
    assert await records.ids("thing") == ["b"]
    assert await records.write("thing", "a", {"new": True}, expected=0) == 1
    clock.forward(1000)
    assert await records.read("thing", "a") == Record({"new": True}, 1)


async def test_redis_itself_deletes_what_is_over(records, redis):
    await records.write("thing", "a", {}, expected=0, ttl_s=10)
    await records.count("limit", "x", 10)
    assert all([0 < await redis.pttl(key) <= 10_000 for key in await redis.keys("*:thing:*") + await redis.keys("*:limit:*")])


async def test_deleting_says_whether_there_was_one(records):
    await records.write("thing", "a", {}, expected=0)
    assert await records.delete("thing", "a")
    assert not await records.delete("thing", "a")
    assert await records.ids("thing") == []


async def test_a_counter_counts_within_its_window_and_begins_anew(records, clock):
    assert [await records.count("limit", "x", 60) for _ in range(3)] == [1, 2, 3]
    assert await records.count("limit", "y", 60) == 1
    clock.forward(59)
    assert await records.count("limit", "x", 60) == 4
    clock.forward(1)
    assert await records.count("limit", "x", 60) == 1
    await records.delete("limit", "x")
    assert await records.count("limit", "x", 60) == 1


async def test_at_once_nobody_is_counted_twice(records):
    assert sorted(await asyncio.gather(*(records.count("limit", "x", 60) for _ in range(30)))) == list(range(1, 31))


async def test_a_rewrite_that_meets_another_one_follows_it(records, redis):
    await rewriting.ended(redis)  # an earlier test's, or one of Valkey's own accord
    before = (await redis.info("persistence"))["aof_rewrites"]
    await records.write("thing", "a", {}, expected=0)
    await redis.config_set("rdb-key-save-delay", 100_000)  # µs a key, so that the first one takes a while
    try:
        await redis.bgrewriteaof()
        await records.rewrite()
        async with asyncio.timeout(60):
            assert await rewriting.ended(redis)
    finally:
        await redis.config_set("rdb-key-save-delay", 0)
    assert (await redis.info("persistence"))["aof_rewrites"] == before + 2


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda r: r.read("a", "b"), id="read"),
        pytest.param(lambda r: r.write("a", "b", {}, expected=0), id="write"),
        pytest.param(lambda r: r.take("a", "b"), id="take"),
        pytest.param(lambda r: r.delete("a", "b"), id="delete"),
        pytest.param(lambda r: r.ids("a"), id="ids"),
        pytest.param(lambda r: r.count("a", "b", 1), id="count"),
        pytest.param(lambda r: r.rewrite(), id="rewrite"),
    ],
)
async def test_without_redis_every_call_says_so(clock, call):
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    with pytest.raises(QueueAway):
        await call(RedisRecords(nowhere, clock))
    await nowhere.aclose()
