"""What Redis holds about a click, an order or a partner beside accounts and the registry, and how it is deleted for good."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from typing import Any

from pixeld.domain.events import first_ms
from pixeld.domain.subject import Contents, Subject, What
from pixeld.errors import Unavailable
from pixeld.storage import keys, rewriting
from pixeld.storage.redis import RedisClient, failures
from pixeld.storage.redis_queue import RedisQueue, nodes

_NODE = re.compile(r"\{[0-9a-f]{12}\}")
_PATIENCE_S = 15.0  # a living server flushes every second
_REWRITE_S = 60.0
_STEP_S = 0.05
_STREAMS = ("queue", "dead", "audit")  # last words of their names
_DEAD, _DECISION = f"redis:{keys.dead('*')}", f"redis:{keys.decision('', '').rstrip('/')}*"


def family(key: str) -> str:
    """The pattern that a key is one of, as the data map names it: `pixeld:{*}:queue`, `pixeld:{accounts}:mail:*`."""
    head, _, rest = _NODE.sub("{*}", key).partition("}:")
    name, of_many, _ = rest.partition(":")
    return f"{head}}}:{name}{':*' if of_many else ''}" if rest else head


class Traces:
    """Implements `rights.places.Queues`. `own` are the nodes of this server, as they come and go."""

    def __init__(self, redis: RedisClient, own: Collection[str]) -> None:
        self._redis, self._own = redis, own

    async def reached(self) -> None:
        await nodes(self._redis)

    async def flushed(self) -> None:
        for node in await nodes(self._redis):
            queue = RedisQueue(self._redis, node)
            last = await queue.last_id()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    while await queue.flushed() < last and (await queue.backlog()).chunks:  # noqa: ASYNC110 - nor does Redis
                        await asyncio.sleep(_STEP_S)
            except TimeoutError:
                raise Unavailable(
                    f"the queue of node {node} has not been flushed for {_PATIENCE_S:.0f} s, so that it can't be searched; "
                    "see why on the server that owns it (/readyz), then ask again"
                ) from None

    async def count(self, subject: Subject) -> dict[str, int]:
        found = {_DEAD: sum([len(await self._dead(node, subject)) for node in await nodes(self._redis)])}
        if subject.what is What.ORDER:
            with failures("looking for a decision"):
                found[_DECISION] = await self._redis.exists(keys.decision(subject.client, subject.id))
        return {place: count for place, count in found.items() if count}

    async def erase(self, subject: Subject) -> None:
        for node in await nodes(self._redis):
            queue = RedisQueue(self._redis, node)
            await queue.trim(await queue.flushed())
            letters = await self._dead(node, subject)
            await queue.erase({id: subject.without(letter["event"]) for id, letter in letters.items()})
        if subject.what is What.ORDER:
            with failures("deleting a decision"):
                await self._redis.delete(keys.decision(subject.client, subject.id))

    async def rewrite(self) -> str:
        try:
            async with asyncio.timeout(_REWRITE_S):
                with failures("rewriting its append-only file"):
                    if (outcome := await rewriting.ask(self._redis)) != "begun":
                        return outcome
                    if await rewriting.ended(self._redis):
                        return "replicas" if await rewriting.replicated(self._redis) else "rewritten"
        except TimeoutError:
            raise Unavailable(
                f"Redis has been rewriting its file for {_REWRITE_S:.0f} s; all else is deleted: ask again, until it is done"
            ) from None
        raise Unavailable("Redis could not rewrite its append-only file, see its log; all else is deleted: ask again")

    async def elsewhere(self) -> int:
        leases = [keys.lease(node) for node in await nodes(self._redis) if node not in self._own]
        with failures("looking for other servers"):
            owners = await self._redis.mget(leases) if leases else []
        return len({owner.partition(b" ")[2] for owner in owners if owner})

    async def entries(self, subject: Subject) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        for node in await nodes(self._redis):
            for letter in (await self._dead(node, subject)).values():
                about = letter | {"event": subject.within(letter["event"])}
                yield _DEAD, {name: value.decode(errors="replace") for name, value in about.items()}
        if subject.what is What.ORDER:
            with failures("reading a decision"):
                made = await self._redis.get(keys.decision(subject.client, subject.id))
            if made is not None:
                yield _DECISION, {"client": subject.client, "order": subject.id, "decided": made.decode()}

    async def held(self) -> list[Contents]:
        families: dict[str, list[str]] = defaultdict(list)
        with failures("listing its keys"):
            async for key in self._redis.scan_iter(match="pixeld:*", count=1000):
                families[family(key.decode())].append(key.decode())
        found = []
        for pattern, names in families.items():
            count, oldest_ms = len(names), None
            if pattern.rpartition(":")[2] in _STREAMS:
                sizes, ages = zip(*[await self._stream(name) for name in names], strict=True)
                count, oldest_ms = sum(sizes), min(filter(None, ages), default=None)
            found.append(Contents(f"redis:{pattern}", count, oldest_ms))
        return found

    async def _stream(self, key: str) -> tuple[int, int | None]:
        """How many entries, and when the first was written; of a chunk, its first event."""
        with failures("reading a stream"):
            count, first = await self._redis.xlen(key), await self._redis.xrange(key, count=1)
        if not first:
            return count, None
        ((id, fields),) = first
        return count, first_ms(fields[b"e"]) if b"e" in fields else int(id.partition(b"-")[0])

    async def _dead(self, node: str, subject: Subject) -> dict[str, dict[str, bytes]]:
        """A queue's dead letters about it, by their ids in the stream."""
        queue = RedisQueue(self._redis, node)
        return {id: letter async for id, letter in queue.dead_letters() if subject.is_in(letter["event"])}
