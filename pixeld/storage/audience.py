"""Releases of a day's audience: counted in ClickHouse, cut by `domain.audience`, stored once for each day and never again."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from typing import Any

import orjson

from pixeld.domain.audience import SALT_BITS, Atom, Groups, groups, release
from pixeld.domain.reports import days_since_1970
from pixeld.errors import QueueAway
from pixeld.storage import keys
from pixeld.storage.redis import RedisClient, failures
from pixeld.storage.reports import statement
from pixeld.storage.warehouse import Warehouse

log = logging.getLogger(__name__)
# One client's day takes a second or two, be it a million visitors: whoever has said nothing for so long is gone.
_CLAIM_S = 300
_COLUMNS = ("day", "client", "partner", "dimension", "value", "visitors", "k", "released_ms")
#: Where visitors are counted: the table, what of it counts, and the statement that makes one row of each visitor.
_SOURCES = (("clicks", "quality = 'human'", "audience_visits"), ("affinities", "1", "audience_affinities"))


class AudienceReleases:
    """Of all servers that share a ClickHouse and a Redis, one makes a day's release; who comes second finds it made.

    `clock()` is milliseconds since 1970, `k` the fewest visitors that a released number stands for.
    """

    def __init__(self, redis: RedisClient, warehouse: Warehouse, clock: Callable[[], int], k: int) -> None:
        self._redis, self._warehouse, self._clock, self._k = redis, warehouse, clock, k

    async def missing(self, first: date, last: date) -> list[date]:
        """The days from `first` to `last` that have not been released, oldest first. WarehouseAway or WarehouseRefused."""
        sql = "SELECT DISTINCT day FROM audience_releases WHERE dimension = '' AND day >= {first:UInt32}"
        found = {row["day"] for row in await self._warehouse.query(sql, {"first": days_since_1970(first)})}
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return [day for day in days if days_since_1970(day) not in found]

    async def release(self, day: date) -> int | None:
        """Release a day that is over: how many numbers; None when it was released before, or another server is about to.

        Raises QueueAway, WarehouseAway or WarehouseRefused; then it is not released, or is but its outcome isn't known yet.
        """
        async with self._claim(day) as mine:
            await self._warehouse.settled()
            if not await mine() or not await self.missing(day, day):
                return None
            atoms: list[tuple[str, Atom]] = []
            for client in await self._clients(day):
                atoms += [(client, atom) for atom in await self._atoms(client, day)]
                if not await mine():
                    return None
            number, now_ms = days_since_1970(day), self._clock()
            rows: list[tuple[str | int, ...]] = [(number, client, *atom, self._k, now_ms) for client, atom in atoms]
            # A row that marks the day, in the same block: a day without numbers has been released as well, and stays so.
            rows.append((number, "", "", "", "", 0, self._k, now_ms))
            await self._warehouse.insert(
                "audience_releases", _COLUMNS, [orjson.dumps(row) for row in rows], f"audience:{day.isoformat()}"
            )
            log.info("released a day's audience", extra={"day": day.isoformat(), "numbers": len(atoms)})
            return len(atoms)

    async def _clients(self, day: date) -> list[str]:
        found: set[str] = set()
        for table, counted, _ in _SOURCES:
            within = "at >= toDateTime({from_s:UInt32}, 'UTC') AND at < toDateTime({until_s:UInt32}, 'UTC')"
            sql = f"SELECT DISTINCT client FROM {table} WHERE {counted} AND {within}"  # noqa: S608 - of our own text
            found |= {row["client"] for row in await self._warehouse.query(sql, _bounds(day))}
        return sorted(found)

    async def _atoms(self, client: str, day: date) -> list[Atom]:
        """What is released of a client's day."""
        params = _bounds(day) | {"client": client, "hash_bits": 64 - SALT_BITS}
        found: list[Atom] = []
        for _, _, source in _SOURCES:
            sql = statement("audience_cells").replace("{{source}}", statement(source))
            # 500 partners' crowds take 0.5 s, in which no visitor is to wait.
            found += await asyncio.to_thread(_cut, await self._warehouse.query(sql, params), self._k)
        return found

    @asynccontextmanager
    async def _claim(self, day: date) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Claim a day; the function tells whether it is still claimed, and claims it for longer."""
        key, token = keys.release(day.isoformat()), secrets.token_hex(8)
        with failures("claiming the release of a day"):
            await self._redis.set(key, token, nx=True, ex=_CLAIM_S)

        async def mine() -> bool:
            with failures("claiming the release of a day"):
                held = await self._redis.get(key) == token.encode()
                return held and bool(await self._redis.expire(key, _CLAIM_S))

        try:
            yield mine
        finally:
            with suppress(QueueAway):  # it ends by itself
                if await mine():
                    with failures("giving up the release of a day"):
                        await self._redis.delete(key)


def _cut(rows: Iterable[Mapping[str, Any]], k: int) -> list[Atom]:
    """The atoms of visitors that were counted by family, partner, what was said of them, and salt."""
    found: dict[str, Groups] = {}
    for row in rows:
        key = tuple(row["value"].split("\t"))
        cells = found.setdefault(row["family"], {}).setdefault(row["party"], {})
        cells.setdefault(key, Counter())[row["salt"]] += row["visitors"]
    return [atom for family, by_partner in found.items() for atom in release(family, groups(by_partner, k), k)]


def _bounds(day: date) -> dict[str, str | int]:
    from_s = days_since_1970(day) * 86_400
    return {"from_s": from_s, "until_s": from_s + 86_400}
