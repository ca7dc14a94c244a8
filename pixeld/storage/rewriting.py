"""Redis' append-only file, written anew: only then what was deleted leaves the disk."""

from __future__ import annotations

import asyncio

from redis.exceptions import ResponseError

from pixeld.storage.redis import RedisClient

_STEP_S = 0.05


async def ask(redis: RedisClient) -> str:
    """Have it begin, behind one that goes on already: that may have passed what was deleted. "begun"; "none" where there is no
    such file; "refused" by a Redis that does it when it will, as a managed one may.
    """
    while (await redis.info("persistence")).get("aof_enabled"):
        try:
            await redis.bgrewriteaof()
            return "begun"
        except ResponseError as error:
            if "in progress" not in str(error):
                return "refused"
        await asyncio.sleep(_STEP_S)
    return "none"


async def replicated(redis: RedisClient) -> bool:
    """Whether there are replicas: each has a file of its own, which it rewrites when it will."""
    return bool((await redis.info("replication")).get("connected_slaves"))


async def ended(redis: RedisClient) -> bool:
    """Return when none goes on any more; whether the last one succeeded."""
    while True:
        found = await redis.info("persistence")
        if not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]:
            return bool(found["aof_last_bgrewrite_status"] == "ok")
        await asyncio.sleep(_STEP_S)
