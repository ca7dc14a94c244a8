"""The Redis connection: how it is made, what its failures mean, and whether it keeps what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pixeld.errors import QueueAway

# An aioredis.Redis. redis-py annotates every reply for the sync and the async client, decoded or not, all at once; pixeld
# uses one of the four, so that its annotations would only be asserted away again.
RedisClient = Any


def connect(url: str, timeout_s: float) -> RedisClient:
    """A client for one role. Nothing is sent yet, and nothing is ever repeated behind the caller's back."""
    return aioredis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


@contextmanager
def failures(doing: str) -> Iterator[None]:
    """Everything that can go wrong with Redis becomes QueueAway; the URL, which may hold a password, is never told.

    RuntimeError is what uvloop raises for a write to a connection that was reset since the last one ("the handler is closed").
    """
    try:
        yield
    except (RedisError, OSError, RuntimeError) as error:
        raise QueueAway(f"Redis: {doing} failed: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Fitness:
    """What durability a Redis gives: `durable` only when every write is fsynced before its reply and nothing is evicted."""

    durable: bool
    server: str
    text: str


async def fitness(redis: RedisClient) -> Fitness:
    """Read the settings that decide about durability. QueueAway when Redis does not answer."""
    with failures("reading its settings"):
        info = await redis.info("server")
        server = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"
        try:
            config = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite")
        except RedisError:  # managed Redis may refuse CONFIG
            aof = (await redis.info("persistence")).get("aof_enabled")
            text = f"CONFIG is refused, so that fsync cannot be checked (append-only file {'on' if aof else 'OFF'})"
            return Fitness(False, server, text)
    wrong = []
    if config.get("appendonly") != "yes":
        wrong.append("appendonly is off: a crash loses everything since the last snapshot; set `appendonly yes`")
    elif config.get("appendfsync") != "always":
        wrong.append(f"appendfsync is {config.get('appendfsync')}: a crash may lose a second; set `appendfsync always`")
    if config.get("no-appendfsync-on-rewrite") == "yes":
        wrong.append("no-appendfsync-on-rewrite is on: nothing is fsynced while the file is rewritten; set it to `no`")
    if config.get("maxmemory-policy") != "noeviction":
        wrong.append(f"maxmemory-policy is {config.get('maxmemory-policy')}: a full Redis deletes events; set `noeviction`")
    return Fitness(not wrong, server, "; ".join(wrong) or "every chunk is fsynced before its answer")
