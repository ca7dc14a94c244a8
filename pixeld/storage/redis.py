"""The Redis connection: how it is made, what its failures mean, and whether it keeps what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as ConnectionLost

from pixeld.errors import QueueAway, SettingsError
from pixeld.storage import sentinel

# An aioredis.Redis. redis-py annotates every reply for the sync and the async client, decoded or not, all at once; pixeld
# uses one of the four, so that its annotations would only be asserted away again.
RedisClient = Any


def connect(url: str, timeout_s: float) -> RedisClient:
    """A client for one role. Nothing is sent yet, and nothing is ever repeated behind the caller's back.

    `timeout_s` bounds each of: asking the sentinels, connecting, sending, and waiting for a reply. SettingsError names what
    is wrong with the URL.
    """
    options = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    if sentinel.names(url):
        return sentinel.connect(sentinel.Address.parse(url), options)
    try:
        parts = urlsplit(url)
        if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal():
            raise ValueError("redis-py would take this for database 0")
        client = aioredis.from_url(url, **options)
        pool: Any = client.connection_pool
        pool.connection_class = type("Connection", (_LeavesAReplica, pool.connection_class), {})
        pool.make_connection()  # connects to nothing, and takes no option that isn't one
    except (ValueError, TypeError, RedisError):  # whose message may quote a part of the password
        raise SettingsError(
            "redis_url cannot be used: it must look like redis://user:password@host:6379/0, with special characters written "
            "as %40 and the like, a number for the database, and no option that redis-py doesn't know"
        ) from None
    return client


class _LeavesAReplica:
    """A connection that redis-py drops when its server turns out to be a replica: the same name may lead to another by now."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except ReadOnlyError as error:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise ConnectionLost("this server is a replica and takes no writes") from error


@contextmanager
def failures(doing: str) -> Iterator[None]:
    """Everything that can go wrong with Redis becomes QueueAway; the URL, which may hold a password, is never told.

    RuntimeError is what uvloop raises for a write to a connection that was reset since the last one ("the handler is closed").
    """
    try:
        yield
    except (RedisError, OSError, RuntimeError) as error:
        if AuthenticationError in (type(error), type(error.__cause__)):  # the first by TCP, the second by a unix socket
            raise QueueAway(f"Redis: {doing} failed: it wants another user or password than redis_url has") from error
        raise QueueAway(f"Redis: {doing} failed: {type(error).__name__}: {error}") from error


class DedicatedConnection:
    """One connection of a client, for one caller who sends one command after another.

    A chunk of 17 KB took 70 µs of CPU through it and 98 through the client, in one run: that takes a connection from its pool
    for each command, gives it back, and counts both.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._pool = redis.connection_pool
        self._connection: Any = None

    async def execute(self, *command: str | bytes | float, meanwhile: Callable[[], None]) -> Any:
        """The reply to one command; `meanwhile` is called when that has been sent. A connection that has ended is made anew
        first, one that fails is ended.
        """
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        else:
            await self._pool.ensure_connection(self._connection)
        await self._connection.send_command(*command)
        meanwhile()
        return await self._connection.read_response()


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas must have a write before it counts, and how long they may take."""

    count: int
    timeout_s: float


NO_REPLICAS = Replicas(0, 0.0)


async def write(redis: RedisClient, replicas: Replicas, *command: str | bytes | float) -> Any:
    """The reply to one writing command, once so many replicas have it; QueueAway when they haven't in time.

    Then the write stands where it was made, and the same again must find that. One round trip: both kinds of waiting are for
    the last write of their own connection. WAIT tells what replicas have in memory, WAITAOF (Redis 7.2, Valkey) what they have
    fsynced, and only counts. It comes second because a replica tells of its fsync when it is asked, or once a second: WAITAOF
    alone took 0.8 s a write here, after WAIT 5 ms (Valkey 9.1, `appendfsync always`).
    """
    if not replicas.count:
        return await redis.execute_command(*command)
    each_ms = max(1, int(replicas.timeout_s * 450))  # twice that is less than the reply may take
    async with redis.pipeline(transaction=False) as pipe:
        pipe.execute_command(*command)
        pipe.execute_command("WAIT", replicas.count, each_ms)
        pipe.execute_command("WAITAOF", 1, replicas.count, each_ms)
        reply, received, fsynced = await pipe.execute(raise_on_error=False)
    if isinstance(reply, Exception):
        raise reply
    if isinstance(received, Exception):
        raise received
    if isinstance(fsynced, Exception):
        if "unknown command" not in str(fsynced):
            raise fsynced
        local, found, where = 1, received, "in memory"  # before Redis 7.2
    else:
        (local, found), where = fsynced, "on disk"
    if not local:
        raise QueueAway("Redis: it did not fsync a write in time")
    if found < replicas.count:
        raise QueueAway(f"Redis: {found} of {replicas.count} replicas had a write {where} in time")
    return reply


@dataclass(frozen=True, slots=True)
class Fitness:
    """What durability a Redis gives: `durable` only when every write is fsynced before its reply and nothing is evicted.

    `replicas` are connected now; `enough` says whether that is as many as a write waits for.
    """

    durable: bool
    server: str
    text: str
    replicas: int = 0
    enough: bool = True


async def fitness(redis: RedisClient, wanted: int = 0) -> Fitness:
    """Read what decides about durability, where `wanted` replicas are waited for. QueueAway when Redis does not answer."""
    with failures("reading its settings"):
        info = await redis.info("server")
        server = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"
        replication = await redis.info("replication")
        if replication["role"] != "master":
            return Fitness(False, server, "it is a replica and takes no writes; redis_url must lead to the primary", 0, False)
        replicas = sum(1 for n in range(replication["connected_slaves"]) if replication[f"slave{n}"]["state"] == "online")
        enough, knows_waitaof = replicas >= wanted, _version(info["redis_version"]) >= (7, 2)
        in_case_of_failover = _failover(replicas, wanted, knows_waitaof)
        try:
            config = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite")
        except RedisError:  # managed Redis may refuse CONFIG
            aof = (await redis.info("persistence")).get("aof_enabled")
            text = f"CONFIG is refused, so that fsync cannot be checked (append-only file {'on' if aof else 'OFF'})"
            return Fitness(False, server, text + in_case_of_failover, replicas, enough)
    wrong = []
    if config.get("appendonly") != "yes":
        wrong.append("appendonly is off: a crash loses everything since the last snapshot; set `appendonly yes`")
        if wanted and knows_waitaof:
            enough = False
            wrong.append("without it no wait for redis_replicas succeeds, and events go to the spill")
    elif config.get("appendfsync") != "always":
        wrong.append(f"appendfsync is {config.get('appendfsync')}: a crash may lose a second; set `appendfsync always`")
    if config.get("no-appendfsync-on-rewrite") == "yes":
        wrong.append("no-appendfsync-on-rewrite is on: nothing is fsynced while the file is rewritten; set it to `no`")
    if config.get("maxmemory-policy") != "noeviction":
        wrong.append(f"maxmemory-policy is {config.get('maxmemory-policy')}: a full Redis deletes events; set `noeviction`")
    text = "; ".join(wrong) or "every chunk is fsynced before its answer"
    return Fitness(not wrong, server, text + in_case_of_failover, replicas, enough)


def _failover(replicas: int, wanted: int, knows_waitaof: bool) -> str:
    """What a failover would do to what was answered."""
    if replicas < wanted:
        return f"; {replicas} of the {wanted} replicas of redis_replicas are connected: events go to the spill until they are"
    if not wanted:
        lost = "a failover can lose what was answered in the last moments; set redis_replicas"
        return f"; replicas: {replicas}, not waited for: {lost}" if replicas else ""
    has = "has fsynced" if knows_waitaof else "has in memory"
    if replicas > wanted:
        return f"; replicas: {replicas}, of which any {wanted} {has} every chunk: a failover to another can lose the last ones"
    return f"; replicas: {replicas}, and each {has} every chunk before its answer"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
