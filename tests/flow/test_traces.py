"""What Redis holds on somebody, and that it leaves the file: also where what stays lies right beside it."""

import asyncio

import pytest

from pixeld.domain.events import CLICK, ORDER, ChunkId
from pixeld.domain.ports import Manifest
from pixeld.domain.subject import Subject, What
from pixeld.errors import ChunkRefused, NotFound, Unavailable
from pixeld.parts.rights import _PartnerData
from pixeld.storage import traces
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.redis import connect
from pixeld.storage.redis_queue import RedisQueue
from pixeld.storage.traces import Traces
from tests.accounts import FORM, PASSWORD, services
from tests.flow.test_erasure import NAME, PERSONAL, everything, lived, on_disk
from tests.services import free_port

NODE = "a1b2c3d4e5f6"
CLICK_ID = Subject(What.CLICK, "the-click-to-erase")


def click(click_id):
    values = {"at_ms": 1_800_000_000_000, "visitor": 1, "click_id": click_id}
    return CLICK.encode(*(values.get(name, "") for name in CLICK.columns))


@pytest.fixture
async def own(tmp_path):
    """A Valkey of the test's own: a queue in it, its connection, its directory."""
    server = EmbeddedRedis(tmp_path / "redis")
    await server.start()
    redis = connect(server.url, 60.0)
    queue = RedisQueue(redis, NODE)
    await queue.announce()
    yield queue, redis, tmp_path / "redis"
    await redis.aclose()
    await server.stop()


async def flushed(queue, last):
    fence = await queue.acquire("owner", 60_000)
    await queue.write_manifest(Manifest(ChunkId(1, 0), last, 1, "digest", "done", fence))


async def gone(directory, text):
    async with asyncio.timeout(60):
        while text in on_disk(directory):
            await asyncio.sleep(0.01)


async def test_a_dead_letter_leaves_the_file_and_its_neighbours_stay(own):
    queue, redis, directory = own
    letters = [("e-1", "why", click("kept-1")), ("e-2", "why", click(CLICK_ID.id)), ("e-3", "why", click("kept-2"))]
    await queue.bury(letters)
    held = Traces(redis, [])
    assert await held.count(CLICK_ID) == {"redis:pixeld:{*}:dead": 1}
    assert [item["id"] async for _, item in held.entries(CLICK_ID)] == ["e-2"]
    await held.erase(CLICK_ID)
    assert await held.rewrite() == "rewritten"
    assert await held.count(CLICK_ID) == {}
    assert [letter["id"] async for _, letter in queue.dead_letters()] == [b"e-1", b"e-3"]
    await gone(directory, CLICK_ID.id)
    assert "kept-1" in on_disk(directory)


async def test_that_replicas_have_files_of_their_own_is_said(own, tmp_path):
    _, redis, _ = own
    port = free_port()
    await redis.config_set("port", port)
    server = EmbeddedRedis(tmp_path / "replica")
    await server.start()
    replica = connect(server.url, 60.0)
    try:
        await replica.replicaof("127.0.0.1", port)
        async with asyncio.timeout(60):
            while (await replica.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.01)
        assert await Traces(redis, []).rewrite() == "replicas"
    finally:
        await replica.aclose()
        await server.stop()
    async with asyncio.timeout(60):
        while (await redis.info("replication"))["connected_slaves"]:
            await asyncio.sleep(0.01)
    assert await Traces(redis, []).rewrite() == "rewritten"


async def test_of_a_dead_letter_of_many_only_what_is_about_it_is_told_and_leaves(own):
    queue, redis, directory = own
    values = {"at_ms": 1_800_000_000_000, "client": "shop", "order_id": "4711", "click_id": CLICK_ID.id, "clicked_at": 9}
    order, forgetful = [
        ORDER.encode(*(given.get(name, "") for name in ORDER.columns)) for given in (values, values | {"click_id": "", "clicked_at": 0})
    ]
    torn = b'["c",17,"torn'
    await queue.bury([("e-1", "why", click("kept-1") + order + click(CLICK_ID.id) + torn)])
    held = Traces(redis, [])
    assert [item["event"] async for _, item in held.entries(CLICK_ID)] == [(order + click(CLICK_ID.id)).decode()]
    await held.erase(CLICK_ID)
    await held.rewrite()
    assert await held.count(CLICK_ID) == {}
    assert [letter async for _, letter in queue.dead_letters()] == [
        {"id": b"e-1", "reason": b"why", "event": click("kept-1") + forgetful + torn}
    ]
    await gone(directory, CLICK_ID.id)


async def test_a_flushed_chunk_leaves_the_file_and_the_next_one_stays_as_it_was(own):
    queue, redis, directory = own
    chunks = [(ChunkId(1, n), click(name)) for n, name in enumerate(["earlier", CLICK_ID.id, "waits"])]
    await queue.push_all(chunks)
    await flushed(queue, ChunkId(1, 1))
    await Traces(redis, []).erase(CLICK_ID)
    assert await queue.read(ChunkId(0, 0), count=9) == [chunks[2]]
    assert await queue.last_id() == ChunkId(1, 2) and await redis.exists(f"pixeld:{{{NODE}}}:queue:anew") == 0
    with pytest.raises(ChunkRefused):
        await queue.push(*chunks[1])
    await Traces(redis, []).rewrite()
    await gone(directory, CLICK_ID.id)
    assert "waits" in on_disk(directory)


async def test_an_empty_queue_still_knows_its_last_chunk(own):
    queue, redis, _ = own
    await queue.push(ChunkId(1, 5), click("only"))
    await flushed(queue, ChunkId(1, 5))
    await Traces(redis, []).erase(CLICK_ID)
    assert (await queue.backlog()).chunks == 0 and await queue.last_id() == ChunkId(1, 5)


async def test_a_queue_that_nobody_flushes_is_named(own, monkeypatch):
    queue, redis, _ = own
    await Traces(redis, []).flushed()  # nothing was ever pushed
    await queue.push(ChunkId(1, 5), click("waits"))
    with monkeypatch.context() as hasty:
        hasty.setattr(traces, "_PATIENCE_S", 0.1)
        with pytest.raises(Unavailable, match=NODE):
            await Traces(redis, []).flushed()
    await flushed(queue, ChunkId(1, 5))
    await Traces(redis, []).flushed()


async def test_a_redis_that_wont_rewrite_its_file_or_has_none_is_told(own):
    _, redis, directory = own
    await redis.execute_command("ACL", "SETUSER", "managed", "on", ">secret", "~*", "+@all", "-bgrewriteaof")
    managed = connect(f"unix://managed:secret@{directory / 'redis.sock'}", 5.0)
    assert await Traces(managed, []).rewrite() == "refused"
    await managed.aclose()
    await redis.config_set("appendonly", "no")
    assert await Traces(redis, []).rewrite() == "none"


async def test_other_servers_are_counted(own):
    queue, redis, _ = own
    assert await Traces(redis, []).elsewhere() == 0
    await queue.acquire("another server", 60_000)
    assert await Traces(redis, []).elsewhere() == 1
    assert await Traces(redis, [NODE]).elsewhere() == 0


async def test_an_order_s_decision_goes(own):
    _, redis, _ = own
    held, order = Traces(redis, []), Subject(What.ORDER, "O-1", "shop")
    for number in (1, 2):
        await redis.set(f"pixeld:{{orders}}:decision:shop/O-{number}", "approved")
    assert [item["decided"] async for _, item in held.entries(order)] == ["approved"]
    await held.erase(order)
    assert await held.count(order) == {} and await held.count(Subject(What.ORDER, "O-2", "shop"))


async def test_a_partner_s_account_goes_and_its_bare_id_stays(own, clock):
    _, redis, directory = own
    made = services(redis, clock)
    await lived(made)
    data = _PartnerData(made.registry, made.parties)
    assert await data.count("blog") == {
        "redis:pixeld:{accounts}:account:*": 1,
        "redis:pixeld:{accounts}:key:*": 1,
        "redis:pixeld:{registry}:partners": 1,
        "redis:pixeld:{registry}:members": 1,
    }
    told = {place: record async for place, record in data.records("blog")}
    assert told["redis:pixeld:{accounts}:account:*"]["contact"]["contact_name"] == FORM["contact_name"]
    assert PASSWORD not in str(told)
    await data.erase("blog", "admin")
    assert await data.count("blog") == {}
    assert await Traces(redis, []).rewrite() == "rewritten"
    stored = await everything(redis)
    for text in (*PERSONAL, NAME):
        assert text.lower() not in stored
    await gone(directory, NAME)
    assert made.registry.snapshot.partners["blog"].name == "blog"
    await data.erase("blog", "admin")
    with pytest.raises(NotFound):
        await data.count("nobody")
    made.passwords.close()


async def test_without_accounts_a_partner_can_t_be_looked_for(redis, clock):
    made = services(redis, clock)
    with pytest.raises(Unavailable, match="PORTAL"):
        await _PartnerData(made.registry, None).count("blog")


async def test_every_family_of_keys_is_told(own, clock):
    queue, redis, _ = own
    made = services(redis, clock)
    await lived(made)
    await queue.push(ChunkId(1, 5), click("waits"))
    await queue.bury([("e-1", "why", ORDER.encode())])
    held = {each.place: each for each in await Traces(redis, []).held()}
    assert held["redis:pixeld:{*}:queue"][1:] == (1, 1_800_000_000_000)
    assert held["redis:pixeld:{*}:dead"].number == 1 and held["redis:pixeld:{*}:dead"].oldest_ms
    assert held["redis:pixeld:{accounts}:mail:*"].number == len(await made.records.ids("mail"))
    assert held["redis:pixeld:{registry}:audit"].oldest_ms and held["redis:pixeld:streams"].number == 1
    made.passwords.close()
