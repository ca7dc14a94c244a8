"""Accounts and all that belongs to them, in Redis: small records changed by compare-and-set. Implements ports.Records.

A record's time is over by the clock that pixeld is given; that Redis deletes it by its own is housekeeping. All keys have one
hash tag, so that each script touches one slot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import orjson

from pixeld.domain.ports import Record
from pixeld.errors import AlreadyExists, Conflict
from pixeld.storage import keys, rewriting
from pixeld.storage.redis import RedisClient, failures

log = logging.getLogger(__name__)
_REWRITE_S = 30.0
_AT_ONCE = 50  # records a round trip; opening so many sealed accounts takes 1 ms, in which no visitor is answered

_HELD = ("version", "until", "value")

# KEYS: the record, its kind's index. ARGV: now, id, and what the script needs further. An index holds ids by when they end.
_LIVE = """
local held = redis.call('HMGET', KEYS[1], 'version', 'until', 'value')
local over = tonumber(held[2])
if over and over <= tonumber(ARGV[1]) then held[1] = false end
"""
_WRITE = f"""{_LIVE}
local version = tonumber(held[1]) or 0
if version ~= tonumber(ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', version + 1, 'value', ARGV[4])
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'until', ARGV[1] + ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('ZADD', KEYS[2], ARGV[1] + ARGV[5], ARGV[2])
else
  redis.call('ZADD', KEYS[2], '+inf', ARGV[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
return version + 1
"""
_TAKE = f"""{_LIVE}
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return held[1] and held[3] or false
"""
_COUNT = """
local held = redis.call('HMGET', KEYS[1], 'n', 'until')
local n, over = tonumber(held[1]) or 0, tonumber(held[2]) or 0
if over <= tonumber(ARGV[1]) then n, over = 0, ARGV[1] + ARGV[2] end
redis.call('HSET', KEYS[1], 'n', n + 1, 'until', over)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return n + 1
"""


class RedisRecords:
    """Every method raises QueueAway without Redis. `clock()` is milliseconds since 1970."""

    def __init__(self, redis: RedisClient, clock: Callable[[], int]) -> None:
        self._redis, self._clock = redis, clock

    async def read(self, kind: str, id: str) -> Record | None:
        """The record, or None when there is none or its time is over."""
        with failures("reading a record"):
            held = await self._redis.hmget(keys.record(kind, id), *_HELD)
        return self._record(held)

    async def each(self, kind: str, ids: Iterable[str] | None = None) -> AsyncIterator[tuple[str, Record]]:
        """Every record of a kind with its id, by id; or, in the order given, those of `ids` that there are."""
        wanted = await self.ids(kind) if ids is None else list(ids)
        for begin in range(0, len(wanted), _AT_ONCE):
            some = wanted[begin : begin + _AT_ONCE]
            with failures("reading records"):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for id in some:
                        pipe.hmget(keys.record(kind, id), *_HELD)
                    found = await pipe.execute()
            for id, held in zip(some, found, strict=True):
                record = self._record(held)
                if record is not None:
                    yield id, record

    def _record(self, held: list[Any]) -> Record | None:
        version, until, value = held
        left_s = None if until is None else (float(until) - self._clock()) / 1000
        if version is None or (left_s is not None and left_s <= 0):
            return None
        return Record(orjson.loads(value), int(version), left_s)

    async def write(
        self, kind: str, id: str, value: dict[str, Any], *, expected: int, ttl_s: float | None = None
    ) -> int:
        """Replace the record whole; its new version. Conflict, or AlreadyExists where none was expected."""
        ttl_ms = "" if ttl_s is None else max(int(ttl_s * 1000), 1)
        found = [keys.record(kind, id), keys.records(kind)]
        with failures("writing a record"):
            version = await self._redis.eval(_WRITE, 2, *found, self._clock(), id, expected, orjson.dumps(value), ttl_ms)
        if version:
            return int(version)
        if expected == 0:
            raise AlreadyExists("there is one already; nothing was changed")
        raise Conflict("somebody else has changed this since you read it; nothing was changed: look at it again, then repeat")

    async def take(self, kind: str, id: str) -> dict[str, Any] | None:
        """Read and delete in one step: of all who take a record, one gets it."""
        with failures("taking a record"):
            value = await self._redis.eval(_TAKE, 2, keys.record(kind, id), keys.records(kind), self._clock(), id)
        return None if value is None else dict(orjson.loads(value))

    async def delete(self, kind: str, id: str) -> bool:
        """Delete the record, or the counter; whether there was one."""
        with failures("deleting a record"):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(keys.record(kind, id)).zrem(keys.records(kind), id)
                deleted, _ = await pipe.execute()
        return bool(deleted)

    async def ids(self, kind: str) -> list[str]:
        """The id of every record of a kind, sorted."""
        with failures("listing records"):
            found = await self._redis.zrangebyscore(keys.records(kind), f"({self._clock()}", "+inf")
        return sorted(id.decode() for id in found)

    async def count(self, kind: str, id: str, window_s: float) -> int:
        """One more in a counter that begins anew `window_s` after its first; its new value."""
        with failures("counting"):
            return int(await self._redis.eval(_COUNT, 1, keys.record(kind, id), self._clock(), int(window_s * 1000)))

    async def rewrite(self) -> None:
        """Have Redis write its append-only file anew, so that what was deleted leaves the disk, too. It goes on behind this.

        Nothing where there is no such file. A Redis that refuses, as a managed one may, is told in the log.
        """
        try:
            async with asyncio.timeout(_REWRITE_S):
                with failures("rewriting its append-only file"):
                    if await rewriting.ask(self._redis) == "refused":
                        log.warning("Redis refuses BGREWRITEAOF: what was erased leaves the disk when it does so by itself")
        except TimeoutError:
            log.warning("Redis is still busy rewriting its file: what was erased leaves the disk at the next rewrite")
