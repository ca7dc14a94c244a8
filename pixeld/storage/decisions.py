"""Decisions about orders. Each is an event of its own, stored as every event is: durable once confirmed, counted once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from pixeld.domain.events import DECISION
from pixeld.domain.orders import OrderStatus, check_decision, check_pending, order_status
from pixeld.domain.ports import Intake
from pixeld.domain.reports import Scope
from pixeld.errors import BadInput, Conflict, Forbidden, NotFound, PixeldError, QueueAway, Unavailable
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
    it stand. `intake` makes them durable; `note(what, before, after, who)` writes to the audit stream; `clock()` is
    milliseconds since 1970.

    The audit stream has one entry for what is decided at once: how many orders, and not which. That, and why, is stored with
    each order, and goes with it when it is erased.
    """

    def __init__(
        self,
        redis: RedisClient,
        warehouse: Warehouse,
        intake: Intake,
        note: Callable[[str, object, object, str], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        self._redis, self._warehouse, self._intake, self._note, self._clock = redis, warehouse, intake, note, clock

    async def decide(
        self, scope: Scope, client: str, order: str, status: object, reason: object, seen: object, who: str
    ) -> OrderStatus:
        wanted, refused = await self.decide_all(scope, client, {order: seen}, status, reason, who)
        if refused:
            raise refused[order]
        return wanted

    async def decide_all(
        self, scope: Scope, client: str, orders: Mapping[str, object], status: object, reason: object, who: str
    ) -> tuple[OrderStatus, dict[str, PixeldError]]:
        if scope.role == "partner" or (scope.role == "client" and scope.id != client):
            raise Forbidden("only the client whose order it is, and the operator, decide about it")
        wanted, why = check_decision(status, reason)
        token = secrets.token_hex(8)
        lines: dict[str, bytes] = {}
        refused: dict[str, PixeldError] = {}
        try:
            for order, seen in orders.items():
                try:
                    at_ms = await self._claim(client, order, seen, token)
                    lines[order] = DECISION.encode(at_ms, client, order, str(wanted), who, why)
                except (BadInput, NotFound, Conflict) as error:
                    refused[order] = error
            if lines:
                await self._store(client, wanted, list(lines.values()), who)
        except PixeldError:
            for order in lines:
                await self._give_up(keys.decision(client, order), token)
            raise
        for order in lines:
            with suppress(QueueAway):  # it is stored all the same; only a second one would not be noticed for a moment
                await self._made(keys.decision(client, order), wanted)
        return wanted, refused

    async def _claim(self, client: str, order: str, seen: object, token: str) -> int:
        """Let nobody else decide about an order that is pending; when the decision is made, in milliseconds since 1970."""
        now_ms, found = self._clock(), await self._order(client, order)
        if found is None:
            raise NotFound(f"{client!r} has no such order; one that has just come is known within some seconds")
        decided, locks_at, ordered_ms = found
        check_pending(order_status(decided, locks_at, now_ms // 1000), seen, bool(decided))
        key = keys.decision(client, order)
        with failures("claiming an order to decide about"):
            made = None if await self._redis.set(key, token, nx=True, ex=_MAKING_S) else await self._redis.get(key) or b""
        if made is None:
            return max(now_ms, ordered_ms)  # never before the order, whose observation another machine's clock may have dated
        if made.decode() in tuple(OrderStatus):
            raise Conflict(f"somebody has {made.decode()} the order a moment ago; nothing was changed")
        raise Conflict("somebody is deciding about the order right now; nothing was changed, look at it again")

    async def _store(self, client: str, wanted: OrderStatus, lines: list[bytes], who: str) -> None:
        """Make decisions durable, all or none, and the entry of the audit stream before them. QueueAway, Unavailable."""
        told = {"orders": len(lines), "decision": str(wanted)}
        await self._note(f"decisions/{client}", None, told, who)
        if not await store(self._intake, b"".join(lines)):
            with suppress(QueueAway):
                await self._note(f"decisions/{client}/failed", told, None, who)
            raise Unavailable("the decision could not be stored, neither in Redis nor on disk; nothing was changed")

    async def _order(self, client: str, order: str) -> tuple[str, int, int] | None:
        """(what was decided, when it locks, when it was made) of an order, as far as the warehouse knows; None for none."""
        rows = await self._warehouse.query(statement("order_to_decide"), {"client": client, "order": order})
        return (rows[0]["decision"], rows[0]["locks_at"], rows[0]["at_ms"]) if rows else None

    async def _made(self, key: str, status: OrderStatus) -> None:
        with failures("noting a decision"):
            await self._redis.set(key, str(status), ex=_MADE_S)

    async def _give_up(self, key: str, token: str) -> None:
        with suppress(QueueAway), failures("giving an order back"):
            if await self._redis.get(key) == token.encode():
                await self._redis.delete(key)
