"""A real failover under real sentinels: what was answered is there, once; and what is lost where replicas are not waited for."""

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest

from pixeld import checkup
from pixeld.domain.events import ChunkId, decode
from pixeld.errors import ChunkRefused, QueueAway, WarehouseAway
from pixeld.settings import Settings
from pixeld.storage.embedded_redis import binary
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import NO_REPLICAS, Replicas, connect, failures, fitness
from pixeld.storage.redis_queue import RedisQueue
from tests.flow.conftest import NODE, Ingest, MemoryWarehouse
from tests.process import pixeld
from tests.services import clickhouse_server, free_port, redis_failover

pytestmark = pytest.mark.services
TIMEOUT_S = 2.0
ONE = Replicas(1, TIMEOUT_S)


CALM_S, ALERT_S = 600.0, 2.0  # of silence before a sentinel takes a primary for dead: until one is killed, it is only slow


@pytest.fixture
async def failover(tmp_path):
    """A primary, a replica that is in step, and three sentinels."""
    with redis_failover(tmp_path / "redis") as found:
        await in_step(found.url)
        await alert(found, CALM_S)
        yield found


@pytest.fixture
async def begin(tmp_path, clock):
    """Starts the ingest path over a Redis URL."""
    begun = []

    def make(url, replicas=NO_REPLICAS, timeout_s=TIMEOUT_S):
        client = connect(url, timeout_s)
        begun.append((client, Ingest(client, tmp_path / "spill", clock, MemoryWarehouse(), clock(), replicas)))
        return begun[-1][1]

    yield make
    for client, ingest in begun:
        await ingest.close()
        await client.aclose()


async def alert(failover, after_s):
    """Have the sentinels wait so long from now on."""
    for sentinel in failover.sentinels:
        async with client_of(sentinel.url) as client:
            await client.execute_command("SENTINEL", "SET", "main", "down-after-milliseconds", int(after_s * 1000))


@asynccontextmanager
async def client_of(url):
    client = connect(url, TIMEOUT_S)
    try:
        yield client
    finally:
        await client.aclose()


async def until(condition):
    """Wait for what an awaited `condition()` says; Redis may be away meanwhile."""
    async with asyncio.timeout(120):
        while True:
            try:
                if found := await condition():
                    return found
            except QueueAway:
                pass
            await asyncio.sleep(0.02)


async def in_step(url):
    """Wait until there is a primary, and its replica has all that it has."""

    async def ready():
        async with client_of(url) as client:
            with failures("waiting for the replica"):
                return await client.set("in-step", 1) and await client.wait(1, 400)

    await until(ready)


async def ids_in(ingest):
    chunks = await ingest.queue.read(ChunkId(0, 0), count=100_000)
    return [values[2] for _, data in chunks for _, values in decode(data)]


async def flushed(ingest):
    """Every order in the warehouse, once all that was answered is there."""
    await asyncio.wait_for(ingest.shipper.shipped(), 120)
    await until(lambda: everything(ingest))
    return sorted(ingest.warehouse.orders(), key=lambda name: int(name[2:]))


async def everything(ingest):
    await ingest.flusher.drain()
    return True


def numbers(n):
    return [f"O-{number}" for number in range(n)]


async def load(ingest, first, until_done):
    """Orders, one after the other, until the future is done; what was answered."""
    sent = []
    while not until_done.done():
        sent += await ingest.send(first + len(sent))
        await asyncio.sleep(0.05)
    return sent


@pytest.mark.parametrize(
    "replicas", [pytest.param(ONE, id="waited for"), pytest.param(NO_REPLICAS, id="not waited for, but in step")]
)
async def test_the_primary_dies_under_load_and_every_answered_event_is_there_once(failover, begin, replicas):
    ingest = begin(failover.url, replicas)
    run = asyncio.create_task(ingest.flusher.run())
    ingest.tasks.append(run)
    assert await ingest.send(*range(20)) == [True] * 20
    if not replicas.count:
        await in_step(failover.url)
    old, new = failover.servers
    await alert(failover, ALERT_S)
    loaded = asyncio.get_running_loop().create_future()
    sending = asyncio.create_task(load(ingest, 20, loaded))
    await asyncio.sleep(0)
    old.kill()
    await switched(failover, new)
    old.start()  # it holds itself for the primary until a sentinel tells it otherwise, some 10 s later
    if not replicas.count:
        await until(lambda: spilled_and_back(ingest))
    else:
        await in_step(failover.url)
    loaded.set_result(None)
    answers = await sending
    assert all(answers) and ingest.metrics.counts["pixeld_spilled_chunks_total"] > 0
    assert await flushed(ingest) == numbers(20 + len(answers))
    assert len({row["event_id"] for row in ingest.warehouse.tables["order_events"]}) == 20 + len(answers)


async def switched(failover, primary):
    """Wait until every sentinel names `primary`, and is calm about it."""
    for sentinel in failover.sentinels:
        async with client_of(sentinel.url) as client:

            async def named(client=client):
                with failures("asking a sentinel"):
                    found = await client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
                return int(found[1]) == primary.port

            await until(named)
    await alert(failover, CALM_S)


async def spilled_and_back(ingest):
    return ingest.metrics.counts["pixeld_spilled_chunks_total"] and ingest.spill.empty


async def test_without_waiting_for_replicas_a_failover_loses_what_no_replica_had(failover, begin):
    ingest = begin(failover.url)
    assert await ingest.send(0) == [True]
    await in_step(failover.url)
    old, new = failover.servers
    async with client_of(new.url) as replica:
        await replica.replicaof("127.0.0.1", free_port())  # cut off
        assert await ingest.send(1) == [True]
        assert await ids_in(ingest) == ["O-0", "O-1"]
    await alert(failover, ALERT_S)
    old.kill()
    await switched(failover, new)
    assert await ingest.send(2) == [True]
    assert await flushed(ingest) == ["O-0", "O-2"]


@pytest.mark.parametrize("away", ["hangs", "is dead"])
async def test_without_its_replica_redis_alone_answers_for_nothing(failover, begin, away):
    ingest = begin(failover.url, ONE)
    _, replica = failover.servers
    assert await ingest.send(0) == [True]
    assert await flushed(ingest) == ["O-0"]
    spilled = ingest.metrics.counts["pixeld_spilled_chunks_total"]
    replica.send(signal.SIGSTOP) if away == "hangs" else replica.kill()
    assert await ingest.send(1, 2, 3) == [True] * 3
    assert ingest.metrics.counts["pixeld_spilled_chunks_total"] == spilled + 3
    assert ingest.buffer.bytes == 0
    assert await ids_in(ingest) in (["O-0", "O-1"], ["O-1"])  # it was stored, and nobody relies on that
    with pytest.raises(QueueAway, match="0 of 1 replicas"):
        await ingest.flusher.step()
    assert ingest.warehouse.orders() == ["O-0"]
    async with client_of(failover.url) as client:
        assert not ingest.spill.empty
        replica.send(signal.SIGCONT) if away == "hangs" else replica.start("--replicaof", f"127.0.0.1 {failover.servers[0].port}")
        await until(lambda: connected(client))
    assert await flushed(ingest) == numbers(4)


async def connected(client):
    return (await fitness(client, 1)).enough


async def test_a_switch_by_hand_is_followed(failover, begin):
    ingest = begin(failover.url, ONE)
    assert await ingest.send(*range(5)) == [True] * 5
    old, new = failover.servers
    async with client_of(failover.sentinels[0].url) as sentinel, client_of(old.url) as left:
        await sentinel.execute_command("SENTINEL", "FAILOVER", "main")
        await switched(failover, new)
        assert await ingest.send(5) == [True]  # the old one takes writes until a sentinel stops it, some 10 s later
        assert not ingest.spill.empty
        await left.replicaof("127.0.0.1", new.port)
    await in_step(failover.url)
    assert await ingest.send(*range(6, 10)) == [True] * 4
    assert await flushed(ingest) == numbers(10)


async def test_a_primary_that_became_a_replica_is_left_though_the_connection_stands(failover):
    old, new = failover.servers
    async with client_of(failover.url) as client, client_of(old.url) as one, client_of(new.url) as two:
        queue = RedisQueue(client, NODE)
        await queue.push(ChunkId(1, 1), b"a")
        await two.replicaof("NO", "ONE")
        await one.replicaof("127.0.0.1", new.port)  # by hand: unlike a sentinel, this leaves connections as they are
        with pytest.raises(QueueAway, match="now a slave"):
            await queue.push(ChunkId(1, 2), b"b")
        [connection] = client.connection_pool._in_use_connections
        assert not connection.is_connected


async def test_a_plain_name_whose_server_became_a_replica_is_looked_up_again(failover):
    """As behind a name or an address that moves: the connection is given up, so that the next chunk finds the new primary."""
    server, _ = failover.servers
    async with client_of(server.url) as client, client_of(server.url) as by_hand:
        queue = RedisQueue(client, NODE)
        await queue.push(ChunkId(1, 1), b"a")
        await by_hand.replicaof("127.0.0.1", failover.servers[1].port)
        for n in (2, 3):
            with pytest.raises(QueueAway, match="takes no writes"):
                await queue.push(ChunkId(1, n), b"b")
            [connection] = client.connection_pool._in_use_connections
            assert not connection.is_connected


async def test_a_hanging_sentinel_holds_nobody_up(failover):
    failover.sentinels[0].send(signal.SIGSTOP)
    client = connect(failover.url, 300.0)
    async with asyncio.timeout(60):
        await RedisQueue(client, NODE).push(ChunkId(1, 1), b"a")
    await client.aclose()


async def test_one_sentinel_is_enough_when_the_others_do_not_answer(failover):
    hangs, dead, _ = failover.sentinels
    hangs.send(signal.SIGSTOP)
    dead.kill()
    async with client_of(failover.url) as client:
        async with asyncio.timeout(60):
            await RedisQueue(client, NODE).push(ChunkId(1, 1), b"a")


async def test_without_sentinels_the_error_names_them_all(failover):
    for sentinel in failover.sentinels:
        sentinel.kill()
    async with client_of(failover.url) as client:
        with pytest.raises(QueueAway) as caught:
            await RedisQueue(client, NODE).last_id()
    assert all(f"127.0.0.1:{sentinel.port}" in str(caught.value) for sentinel in failover.sentinels)


async def test_a_primary_that_no_sentinel_knows_is_told(failover):
    async with client_of(failover.url.replace("/main/", "/mian/")) as client:
        with pytest.raises(QueueAway, match="knows no 'mian'"):
            await RedisQueue(client, NODE).last_id()


@pytest.mark.parametrize("server", ["redis-server", "valkey"])
async def test_a_repeat_waits_for_replicas_too(tmp_path, server):
    with redis_failover(tmp_path / "redis", None if server == "redis-server" else str(binary()), sentinels=False) as found:
        primary, replica = found.servers
        await in_step(primary.url)
        async with client_of(primary.url) as first, client_of(primary.url) as second:
            one, two = RedisQueue(first, NODE, ONE), RedisQueue(second, NODE, ONE)
            await one.push(ChunkId(1, 1), b"a")
            replica.send(signal.SIGSTOP)
            for queue in (one, two, two):  # a new connection has written nothing that could be waited for
                with pytest.raises(QueueAway, match="0 of 1 replicas"):
                    await queue.push(ChunkId(1, 2), b"b")
            replica.send(signal.SIGCONT)
            await until(lambda: connected(second))
            with pytest.raises(ChunkRefused):  # now it is surely there
                await two.push(ChunkId(1, 2), b"b")
            assert [chunk_id for chunk_id, _ in await two.read(ChunkId(0, 0), count=10)] == [ChunkId(1, 1), ChunkId(1, 2)]
            fit = await fitness(second, 1)
            assert fit.enough and fit.replicas == 1
            assert ("has fsynced" if server == "valkey" else "has in memory") in fit.text


async def test_a_replica_that_keeps_nothing_on_disk_does_not_count_where_redis_can_tell(tmp_path):
    with redis_failover(tmp_path / "redis", str(binary()), sentinels=False) as found:
        primary, replica = found.servers
        await in_step(primary.url)
        async with client_of(primary.url) as client, client_of(replica.url) as other:
            await other.config_set("appendonly", "no")
            with pytest.raises(QueueAway, match="0 of 1 replicas had a write on disk"):
                await RedisQueue(client, NODE, ONE).push(ChunkId(1, 1), b"a")


async def test_check_tells_what_a_failover_would_do(failover):
    found = await checkup._redis(Settings(redis_url=failover.url))
    assert found.ok and "replicas: 1, not waited for: a failover can lose" in found.detail
    found = await checkup._redis(Settings(redis_url=failover.url, redis_replicas=1))
    assert found.ok and "replicas: 1, and each has" in found.detail
    found = await checkup._redis(Settings(redis_url=failover.url, redis_replicas=2))
    assert not found.ok and "1 of the 2 replicas of redis_replicas are connected" in found.detail


async def test_the_next_clickhouse_host_takes_over(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with clickhouse_server(tmp_path / "one") as one, clickhouse_server(tmp_path / "two") as two:
        warehouse = open_warehouse(two.url(first=f"127.0.0.1:{one.port}"), tmp_path)
        await warehouse.command("CREATE DATABASE only_on_the_first")
        is_first = "SELECT count() AS n FROM system.databases WHERE name = 'only_on_the_first'"
        assert await warehouse.query(is_first, {}) == [{"n": 1}]
        one.kill()
        async with asyncio.timeout(120):
            while True:
                try:
                    assert await warehouse.query(is_first, {}) == [{"n": 0}]
                    break
                except WarehouseAway:
                    await asyncio.sleep(0.02)
        await warehouse.close()


async def test_a_pixeld_rides_over_a_failover(failover, tmp_path):
    async with pixeld(tmp_path / "data", redis_url=failover.url, redis_replicas=1, redis_timeout_s=TIMEOUT_S) as server:
        health = await server.ready()
        assert health["redis"]["replicas"] == 1 and "each has in memory" in health["redis"]["durability"]
        old, new = failover.servers
        await alert(failover, ALERT_S)
        promoted = asyncio.get_running_loop().create_future()
        visits = [asyncio.create_task(visit(server, n, promoted)) for n in range(4)]
        await asyncio.sleep(0)
        old.kill()
        await switched(failover, new)
        async with asyncio.timeout(120):
            while (health := (await server.api("GET", "/readyz"))[1])["redis"].get("replicas") != 0:
                await asyncio.sleep(0.05)
        assert not health["redis"]["ok"] and "0 of the 1 replicas" in health["redis"]["durability"]
        old.start("--replicaof", f"127.0.0.1 {new.port}")
        await server.ready()
        promoted.set_result(None)
        answered = [order for orders in await asyncio.gather(*visits) for order in orders]
        await server.ready()
        assert (await server.api("POST", "/api/flush"))[0] == 200
        counted = [row["order_id"] for row in await server.sql("SELECT order_id FROM order_events")]
        assert sorted(counted) == sorted(answered) and len(answered) > 20
        assert "lost" not in server.log.read_text()


async def visit(server, number, promoted):
    """One browser's orders until the failover is over; each must be answered as stored."""
    browser, orders = server.browser(), []
    while not promoted.done():
        orders.append(f"{number}-{len(orders)}")
        status, headers = await browser.get(f"/t/shop/o.gif?order={orders[-1]}&amount=1.00")
        assert (status, headers["x-pixeld"]) == (200, "ok")
        await asyncio.sleep(0.02)
    return orders
