"""The connections to Redis that a process has."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from pixeld.settings import Settings
from pixeld.storage.redis import RedisClient, Replicas, connect
from pixeld.storage.redis_queue import RedisQueue

_PATIENCE = 5  # times redis_timeout_s: nobody waits for a reply behind these


@dataclass(frozen=True, slots=True)
class RedisLinks:
    """One for shipping, so that no report or flush ever stands before a chunk; `redis`, with more patience, for the others."""

    shipping: RedisClient
    redis: RedisClient
    replicas: Replicas

    def queue(self, node: str) -> RedisQueue:
        """The queue of a node, for everybody but its shipper."""
        return RedisQueue(self.redis, node, self.replicas)


def open_links(stack: AsyncExitStack, settings: Settings, url: str) -> RedisLinks:
    """Connections to `url`, closed by `stack`. Nothing is sent yet."""
    shipping, redis = connect(url, settings.redis_timeout_s), connect(url, _PATIENCE * settings.redis_timeout_s)
    stack.push_async_callback(redis.aclose)
    stack.push_async_callback(shipping.aclose)
    return RedisLinks(shipping, redis, Replicas(settings.redis_replicas, settings.redis_timeout_s))
