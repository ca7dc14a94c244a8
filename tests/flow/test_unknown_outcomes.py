"""A write whose outcome nobody learned is made again: the same bytes under the same id, in the store once."""

import asyncio

import pytest

from pixeld.domain.events import ChunkId
from pixeld.errors import LeaseLost, Unavailable, WarehouseAway
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import connect
from tests.faults.proxy import ONCE, Proxy
from tests.flow.conftest import Ingest, MemoryWarehouse
from tests.process import pixeld
from tests.services import clickhouse_server

ORDERS = 6
COMMANDS = 40  # more than shipping and flushing them take, replay included: `struck` tells where the end is


@pytest.fixture
async def net(valkey, redis):
    """A proxy before the real Valkey, which is empty."""
    proxy = await Proxy(valkey.removeprefix("unix://")).start()
    yield proxy
    await proxy.stop()


async def flushed(ingest):
    """Flush as `Flusher.run` does, whatever fails, and without its pauses."""
    async with asyncio.timeout(60):
        while True:
            try:
                await ingest.flusher.drain()
                return
            except LeaseLost:
                ingest.flusher._fence = None
            except Unavailable:
                pass


@pytest.mark.parametrize("what", ONCE)
@pytest.mark.parametrize("spilled", [False, True], ids=["straight to Redis", "by way of the spill"])
async def test_whichever_redis_command_it_happens_to(net, redis, tmp_path, clock, what, spilled):
    struck = 0
    for n in range(COMMANDS):
        await redis.flushall()
        client, warehouse = connect(f"redis://127.0.0.1:{net.port}/0", 2.0), MemoryWarehouse()
        ingest = Ingest(client, tmp_path / f"{n}", clock, warehouse, clock())
        ingest.flusher._max_events = 4  # more than one batch
        ingest.queue.faults = ["before"] if spilled else []
        net.arm(what, skip=n)
        assert await ingest.send(*range(ORDERS)) == [True] * ORDERS
        await asyncio.wait_for(ingest.shipper.shipped(), 60)
        await flushed(ingest)
        clock.forward(60)
        await flushed(ingest)  # which trims
        struck += net.struck.is_set()
        net.heal()
        assert warehouse.orders() == [f"O-{number}" for number in range(ORDERS)], f"command {n}"
        assert (await ingest.queue.backlog())[0] == 0, f"command {n}"
        await ingest.close()
        await client.aclose()
    assert 8 < struck < COMMANDS


@pytest.mark.parametrize("what", ONCE)
async def test_the_retry_sends_the_same_bytes_under_the_same_id(net, redis, tmp_path, clock, what):
    client = connect(f"redis://127.0.0.1:{net.port}/0", 2.0)
    ingest = Ingest(client, tmp_path, clock, MemoryWarehouse(), clock())
    sent, push, push_all = [], ingest.queue.push, ingest.queue.push_all

    async def write_down(chunk_id, data, meanwhile):
        sent.append((chunk_id, data))
        await push(chunk_id, data)

    async def write_all_down(chunks):
        sent.extend(chunks)
        await push_all(chunks)

    ingest.queue.push, ingest.queue.push_all = write_down, write_all_down
    net.arm(what)
    assert await ingest.send(1) == [True]
    await asyncio.wait_for(ingest.shipper.shipped(), 60)
    assert len(sent) >= 2 and set(sent) == {sent[0]}
    assert await ingest.queue.read(ChunkId(0, 0), count=10) == [sent[0]]
    await ingest.close()
    await client.aclose()


@pytest.mark.slow
async def test_sigterm_while_a_reply_waits_for_redis_sends_the_reply_first(net, tmp_path):
    async with pixeld(tmp_path / "data", redis_url=f"redis://127.0.0.1:{net.port}/0", redis_timeout_s=60, shutdown_s=300) as server:
        await server.ready()
        net.half_open()
        asking = asyncio.create_task(server.browser().get("/t/shop/o.gif?order=half-way&amount=12.34"))
        async with asyncio.timeout(60):
            while b"pixeld_buffer_bytes 0.0" in await server.metrics():
                await asyncio.sleep(0.01)
        server.child.terminate()
        async with asyncio.timeout(60):
            while '"event":"stopping"' not in server.log.read_text():
                await asyncio.sleep(0.01)
        assert not asking.done()
        net.heal()
        status, headers = await asking
        assert (status, headers["x-pixeld"]) == (200, "ok")
        assert await server.gone() == 0
        await server.start()
        await server.ready()
        assert (await server.api("POST", "/api/flush"))[0] == 200
        assert await server.sql("SELECT order_id, amount_minor FROM orders") == [{"order_id": "half-way", "amount_minor": 1234}]


@pytest.mark.services
async def test_an_insert_that_broke_is_repeated_and_its_rows_are_there(tmp_path):
    directory = tmp_path / "clickhouse"
    directory.mkdir()
    with clickhouse_server(directory) as server:
        net = await Proxy(("127.0.0.1", server.port)).start()
        through = server.url().replace(f":{server.port}/", f":{net.port}/")
        warehouse = open_warehouse(through, tmp_path)
        await warehouse.command("CREATE TABLE rows (number UInt32, s1 String) ENGINE = MergeTree ORDER BY number")
        rows, struck = [(n, b"x" * 100) for n in range(2000)], 0
        for number, what in enumerate(ONCE):
            for skip in range(5):  # a ping, the query, the rows in several reads, their end
                token, again = f"{number}-{skip}", [b'[%d,"%d-%d %b"]' % (n, number, skip, text) for n, text in rows]
                net.arm(what, skip=skip)
                failures = 0
                async with asyncio.timeout(60):
                    while True:
                        try:
                            await warehouse.insert("rows", ("number", "s1"), again, token)
                            break
                        except WarehouseAway:
                            failures += 1
                assert failures <= net.struck.is_set()  # fewer: the driver begins with a ping, and connects again
                struck += failures
                net.heal()
                sql = f"SELECT uniqExact(number) AS n FROM rows WHERE s1 LIKE '{token} %'"
                assert await warehouse.query(sql, {}) == [{"n": len(rows)}], f"{what}, after {skip} more"
        assert struck >= 2 * len(ONCE)
        await warehouse.close()
        await net.stop()
