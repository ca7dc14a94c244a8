"""Decisions about orders. Each is an event of its own, stored as every event is: durable once confirmed, counted once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress

from pixeld.domain.events import DECISION
from pixeld.domain.orders import OrderStatus, check_decision, check_pending, order_status
from pixeld.domain.ports import Intake
from pixeld.domain.reports import Scope
from pixeld.errors import Conflict, Forbidden, NotFound, QueueAway, Unavailable
from pixeld.storage import keys
from pixeld.storage.redis import RedisClient, failures
from pixeld.storage.reports import statement
from pixeld.storage.stored import store
from pixeld.storage.warehouse import Warehouse

# Until a decision is durable nobody else makes one; if this process dies meanwhile, not for ever.
_MAKING_S = 60
# After that until reports surely show it: a second, unless ClickHouse works a backlog off.
_MADE_S = 3600


class Decisions:
    """`domain.ports.Decisions` over the warehouse, which knows the orders, and Redis, where decisions that are on their way to
    it stand. `intake` makes them durable; `clock()` is milliseconds since 1970.
    """

    def __init__(self, redis: RedisClient, warehouse: Warehouse, intake: Intake, clock: Callable[[], int]) -> None:
        self._redis, self._warehouse, self._intake, self._clock = redis, warehouse, intake, clock

    async def decide(
        self, scope: Scope, client: str, order: object, status: object, reason: object, seen: object, who: str
    ) -> OrderStatus:
        if scope.role == "partner" or (scope.role == "client" and scope.id != client):
            raise Forbidden("only the client whose order it is, and the operator, decide about it")
        wanted, why = check_decision(status, reason)
        at_ms = self._clock()
        found = await self._order(client, order) if isinstance(order, str) else None
        if found is None or not isinstance(order, str):
            raise NotFound(f"{client!r} has no such order; one that has just come is known within some seconds")
        decided, locks_at, ordered_ms = found
        check_pending(order_status(decided, locks_at, at_ms // 1000), seen, bool(decided))
        key, token = keys.decision(client, order), secrets.token_hex(8)
        await self._claim(key, token)
        # Never before the order, whose observation another machine's clock may have dated.
        line = DECISION.encode(max(at_ms, ordered_ms), client, order, str(wanted), who, why)
        if not await store(self._intake, line):
            await self._give_up(key, token)
            raise Unavailable("the decision could not be stored, neither in Redis nor on disk; nothing was changed")
        with suppress(QueueAway):  # it is stored all the same; only a second one would not be noticed for a moment
            await self._made(key, wanted)
        return wanted

    async def _order(self, client: str, order: str) -> tuple[str, int, int] | None:
        """(what was decided, when it locks, when it was made) of an order, as far as the warehouse knows; None for none."""
        rows = await self._warehouse.query(statement("order_to_decide"), {"client": client, "order": order})
        return (rows[0]["decision"], rows[0]["locks_at"], rows[0]["at_ms"]) if rows else None

    async def _claim(self, key: str, token: str) -> None:
        with failures("claiming an order to decide about"):
            if await self._redis.set(key, token, nx=True, ex=_MAKING_S):
                return
            made = (await self._redis.get(key) or b"").decode()
        if made in tuple(OrderStatus):
            raise Conflict(f"somebody has {made} the order a moment ago; nothing was changed")
        raise Conflict("somebody is deciding about the order right now; nothing was changed, look at it again")

    async def _made(self, key: str, status: OrderStatus) -> None:
        with failures("noting a decision"):
            await self._redis.set(key, str(status), ex=_MADE_S)

    async def _give_up(self, key: str, token: str) -> None:
        with suppress(QueueAway), failures("giving an order back"):
            if await self._redis.get(key) == token.encode():
                await self._redis.delete(key)
