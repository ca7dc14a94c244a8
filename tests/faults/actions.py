"""The faults: each does its damage, lets it last, and mends it. `FAULTS` is the table of them all."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.faults.proxy import ONCE

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Fault:
    """`strike(system, rnd)` breaks and mends; `part` is what it breaks: never two of one part at once."""

    name: str
    part: str
    strike: Callable
    needs: Callable


FAULTS: list[Fault] = []


def fault(name, part, needs=lambda system: True):
    def keep(strike):
        FAULTS.append(Fault(name, part, strike, needs))
        return strike

    return keep


def _disks(system):
    return system.disks


def _redis_apart(system):
    return system.redis_net is not None


def _redis_disk(system):
    return system.redis_disk is not None


# -- pixeld


@fault("pixeld: SIGKILL", "node")
async def kill_node(system, rnd):
    node = rnd.choice(system.nodes)
    await node.killed()
    await node.start()


@fault("pixeld: SIGKILL twice, the second while it starts", "node")
async def kill_node_twice(system, rnd):
    node = rnd.choice(system.nodes)
    await node.killed()
    starting = asyncio.create_task(node.start())
    await asyncio.sleep(rnd.uniform(0.1, 1.5))
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        if node.child.returncode is None:
            await node.killed()
    else:
        await starting
        await node.killed()
    await node.start()


@fault("pixeld: SIGTERM under load", "node")
async def terminate_node(system, rnd):
    node = rnd.choice(system.nodes)
    await node.stopped()
    await node.start()


@fault("pixeld: SIGSTOP past its lease, then SIGCONT", "node")
async def halt_node(system, rnd):
    node = rnd.choice(system.nodes)
    node.halt()
    await asyncio.sleep(rnd.uniform(1.2, 2.5) if len(system.nodes) == 1 else rnd.uniform(1.5, 9))
    node.go_on()


@fault("pixeld: its clock steps", "clock")
async def step_clock(system, rnd):
    # by seconds, hours or over the turn of a month; the next one steps from there, often backwards
    rnd.choice(system.nodes).step(rnd.choice((-1, 1)) * rnd.choice((3_000, 7_200_000, 40 * DAY_MS)))
    await asyncio.sleep(rnd.uniform(0, 0.5))


@fault("pixeld: its disk is full", "disk", _disks)
async def fill_node_disk(system, rnd):
    await _filled(rnd.choice(system.node_disks), rnd)


@fault("pixeld: its disk is full while Redis is away", "redis", lambda system: _disks(system) and _redis_apart(system))
async def fill_node_disk_without_redis(system, rnd):
    system.redis_net.refuse()
    await _filled(rnd.choice(system.node_disks), rnd)
    system.redis_net.heal()


async def _filled(disk, rnd):
    await disk.fill_fast()
    await asyncio.sleep(rnd.uniform(0.3, 1.5))
    disk.free()


# -- Redis


@fault("Redis: SIGKILL", "redis")
async def kill_redis(system, rnd):
    await system.redis.kill()
    await asyncio.sleep(rnd.uniform(0, 1))
    await system.redis.start()


@fault("Redis: SIGKILL, then LOADING", "redis", _redis_apart)
async def load_redis(system, rnd):
    await system.redis.kill()
    await system.redis.start("--key-load-delay", str(rnd.randrange(100, 2000)), "--loading-process-events-interval-bytes", "1024")
    await system.redis.command("CONFIG", "SET", "key-load-delay", "0")


@fault("Redis: SIGSTOP, then SIGCONT", "redis")
async def halt_redis(system, rnd):
    system.redis.signal(signal.SIGSTOP)
    await asyncio.sleep(rnd.uniform(0.2, 2.5))
    system.redis.signal(signal.SIGCONT)


@fault("Redis: its memory is full", "redis")
async def fill_redis(system, rnd):
    await system.redis.command("CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(rnd.uniform(0.2, 2))
    await system.redis.command("CONFIG", "SET", "maxmemory", "0")


@fault("Redis: it is a read-only replica", "redis")
async def demote_redis(system, rnd):
    await system.redis.command("REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(rnd.uniform(0.2, 2))
    await system.redis.command("REPLICAOF", "NO", "ONE")


@fault("Redis: MISCONF, its snapshots fail", "redis")
async def misconfigure_redis(system, rnd):
    await system.redis.command("CONFIG", "SET", "save", "3600 1")
    await system.redis.command("BGSAVE")
    await asyncio.sleep(rnd.uniform(0.3, 2))
    await system.redis.command("CONFIG", "SET", "save", "")


@fault("Redis: the disk of its append-only file is full", "redis", _redis_disk)
async def fill_redis_disk(system, rnd):
    await _filled(system.redis_disk, rnd)
    if not system.redis.alive:  # Valkey ends itself when it cannot append, rather than break its word
        await system.redis.kill()
        await system.redis.start()


# -- ClickHouse, as servers of its own


def _cluster(system):
    return system.cluster is not None


@fault("ClickHouse: SIGKILL of a server", "clickhouse", _cluster)
async def kill_clickhouse(system, rnd):
    await _down([rnd.choice(system.cluster.nodes)], rnd)


@fault("ClickHouse: SIGKILL of both servers of a shard", "clickhouse", _cluster)
async def kill_shard(system, rnd):
    first = rnd.choice((0, 2))
    await _down(system.cluster.nodes[first : first + 2], rnd)


@fault("ClickHouse: SIGKILL of every server", "clickhouse", _cluster)
async def kill_cluster(system, rnd):
    await _down(system.cluster.nodes, rnd)


@fault("ClickHouse: SIGTERM of a server", "clickhouse", _cluster)
async def restart_clickhouse(system, rnd):
    await _down([rnd.choice(system.cluster.nodes)], rnd, signal.SIGTERM)


@fault("ClickHouse: SIGKILL of a server in the middle of an insert", "clickhouse", _cluster)
async def kill_clickhouse_inserting(system, rnd):
    index = rnd.randrange(len(system.cluster.nodes))
    net = system.clickhouse_nets[index]
    await _once(net, "lose reply", skip=rnd.randrange(3))
    await _down([system.cluster.nodes[index]], rnd)


@fault("ClickHouse: SIGSTOP of a server, then SIGCONT", "clickhouse", _cluster)
async def halt_clickhouse(system, rnd):
    server = rnd.choice(system.cluster.nodes)
    server.send(signal.SIGSTOP)
    await asyncio.sleep(rnd.uniform(0.5, 6))
    server.send(signal.SIGCONT)


@fault("ZooKeeper: SIGKILL", "zookeeper", _cluster)
async def kill_zookeeper(system, rnd):
    await _down([system.cluster.zookeeper], rnd)


@fault("ZooKeeper: SIGSTOP past every session, then SIGCONT", "zookeeper", _cluster)
async def halt_zookeeper(system, rnd):
    system.cluster.zookeeper.send(signal.SIGSTOP)
    await asyncio.sleep(rnd.uniform(1, 8))
    system.cluster.zookeeper.send(signal.SIGCONT)


async def _down(servers, rnd, how=signal.SIGKILL):
    for server in servers:
        await asyncio.to_thread(server.kill, how)
    await asyncio.sleep(rnd.uniform(0, 3))
    for server in servers:
        await asyncio.to_thread(server.start)


# -- the network


async def _once(net, what, skip):
    net.arm(what, skip)
    with suppress(TimeoutError):  # nobody asks anything any more
        async with asyncio.timeout(2):
            await net.struck.wait()
    net.heal()


def _networks(part, name, of):
    """The same faults for each connection of pixeld's: `of(system)` gives the proxies, and is empty where there are none."""

    def lasting(what, do, low, high):
        @fault(f"{name} connection: {what}", part, of)
        async def strike(system, rnd):
            net = rnd.choice(of(system))
            do(net, rnd)
            await asyncio.sleep(rnd.uniform(low, high))
            net.heal()

    def exact(what, once):
        @fault(f"{name} connection: {what}", part, of)
        async def strike(system, rnd):
            net = rnd.choice(of(system))
            await _once(net, once, skip=rnd.randrange(4))

    lasting("cut", lambda net, rnd: net.cut(), 0, 0.3)
    lasting("reset", lambda net, rnd: net.reset(), 0, 0.3)
    lasting("refused", lambda net, rnd: net.refuse(), 0.1, 1.5)
    lasting("delayed", lambda net, rnd: net.delay(rnd.uniform(0.05, 0.8)), 0.5, 2)
    lasting("half open", lambda net, rnd: net.half_open(), 0.3, 2)
    for what in ONCE:
        exact(f"reset: {what}", what)


_networks("redis", "Redis", lambda system: [system.redis_net] if system.redis_net else [])
_networks("clickhouse", "ClickHouse", lambda system: system.clickhouse_nets)
