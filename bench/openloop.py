"""An open-loop generator: every request has a time of its own and is sent then, whatever became of those before it.

Latency counts from that time, not from when the request got its turn, so that a server which stands still for a second is seen
by every visitor of that second. Visitors don't wait for one another: a request takes the connection that has been idle
longest; when all are busy, it is sent behind others on the next in turn, as a proxy before the server would. One core.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import NamedTuple

from bench import visitors
from bench.books import Ledger
from bench.histogram import Histogram
from bench.visitors import CLICK, IMPRESSION, ORDER, RELOAD, Requests, Visitor
from bench.wire import Door, Heads, LoadError, Reply

_TICK_S = 0.001  # uvloop's timers know no less; replies that come in between send what is due as well
_AT_ONCE = 256  # requests sent before replies get their turn again, when there is much to catch up
_RECENT = 1_000  # orders whose pages may be loaded again
_OPENING = 64  # connections being opened at once: the server's backlog is no part of what is measured
_RETRY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run. Requests a second, seconds; `patience_s` is how far behind the server may be before requests stay unsent."""

    door: Door
    client: str
    partner: str
    run: str
    mix: tuple[float, ...]
    rate: float
    duration_s: float
    connections: int
    visitors: int = 500
    poisson: bool = False
    patience_s: float = 10.0


@dataclass
class Outcome:
    """What came of it. `latency` counts from when a request was due; `lag` is how late it was sent: the generator's part."""

    latency: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    replies: Counter[tuple[int, int, str]] = field(default_factory=Counter)  # by kind, status and X-Pixeld
    ledger: Ledger = field(default_factory=Ledger)
    sent: int = 0
    unsent: int = 0  # no connection was open, or too many waited for their replies
    lost: int = 0  # sent, and no whole reply came: its connection ended, or patience did
    seconds: float = 0.0  # from the first request's time to the last one's sending

    @property
    def failed(self) -> int:
        """Requests that were not answered with `X-Pixeld: ok`."""
        return self.unsent + self.lost + sum(n for (_, _, said), n in self.replies.items() if said != "ok")


class _Request(NamedTuple):
    kind: int
    due: float  # 0: not part of the schedule
    number: int  # of an order, or where a click's visitor belongs


class _Connection(asyncio.Protocol):
    """One keep-alive connection: replies come in the order of requests."""

    __slots__ = ("fleet", "open", "rest", "transport", "waiting")

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.open, self.rest, self.waiting = fleet, False, b"", deque[_Request]()

    def connection_made(self, transport) -> None:
        self.transport, self.open = transport, True
        self.fleet.join(self)

    def data_received(self, data: bytes) -> None:
        data = self.rest + data if self.rest else data
        fleet, waiting, now, at = self.fleet, self.waiting, monotonic(), 0
        while waiting and (end := data.find(b"\r\n\r\n", at)) >= 0:
            reply = fleet.heads.read(data[at:end])
            if reply is None:
                return self._break()
            after = end + 4 + reply.body
            if after > len(data):
                break
            at = after
            fleet.answered(waiting.popleft(), reply, now)
            if reply.last:
                return self._break()
        self.rest = data[at:]
        if not waiting:
            if self.rest:
                return self._break()
            fleet.idle.append(self)
        return fleet.send_due()

    def _break(self) -> None:
        self.open = False
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.fleet.leave(self)


class Fleet:
    """Visitors on so many connections, who send what a plan says."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.outcome = plan, Outcome()
        self.idle: deque[_Connection] = deque()
        self.in_flight = 0
        self._open: deque[_Connection] = deque()
        self._chance = random.Random(plan.run)
        self._kinds = visitors.kinds(plan.mix, self._chance)
        self._requests = Requests(plan.client, plan.partner, plan.run)
        self._door, self.heads = plan.door, Heads()
        self._visitors = [Visitor.number(n, self._door.netloc) for n in range(plan.visitors)]
        self._recent: deque[tuple[int, Visitor]] = deque(maxlen=_RECENT)
        self._turn = 0
        self._schedule = iter(())
        self._started, self._next = 0.0, inf
        self._most = max(plan.rate * plan.patience_s, plan.visitors)
        self._last_reply: Reply | None = None
        self._closing = False
        self._reopening: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Open every connection. LoadError when one cannot be."""
        await asyncio.to_thread(self._door.check)
        gate = asyncio.Semaphore(_OPENING)

        async def connect() -> None:
            async with gate:
                await self._connect()

        failed = None
        try:
            async with asyncio.timeout(self.plan.patience_s + self.plan.connections / 100), asyncio.TaskGroup() as group:
                for _ in range(self.plan.connections):
                    group.create_task(connect())
        except* (OSError, TimeoutError) as errors:
            failed = errors.exceptions[0]
        if failed is not None:
            raise LoadError(self._door.why(failed))

    async def visit(self) -> None:
        """One visitor follows the link, then all the others: then everybody has a cookie. LoadError when none comes."""
        plan = self.plan
        for n in range(plan.visitors):
            if not self._open:
                raise LoadError(f"{self._door.url} closes every connection at once; has it too many (max_connections)?")
            self._click(n, 0.0)
            if n == 0:
                await self.drained(plan.patience_s)
                self._check()
        await self.drained(plan.patience_s)
        if without := plan.visitors - self.outcome.ledger.answered().clicks:
            why = "is the server at its limit, or has it a rate_per_s?"
            raise LoadError(f"{without} of the first {plan.visitors} clicks were not answered with `X-Pixeld: ok`: {why}")

    def _check(self) -> None:
        reply, who = self._last_reply, f"client {self.plan.client!r}, partner {self.plan.partner!r}"
        if reply is None:
            raise LoadError(f"{self._door.url} accepts connections and does not answer a click in time")
        if reply.said == "unknown_client":
            raise LoadError(
                f"the server knows no client {self.plan.client!r}; `pixeld client add` adds it, and so does --register"
            )
        if not reply.said:
            raise LoadError(f"what answers at {self._door.url} is not pixeld: status {reply.status}, and no X-Pixeld header")
        if reply.said != "ok":
            raise LoadError(f"the first click was dropped ({reply.said}): {who}")
        if not reply.cookie:
            raise LoadError(f"the first click got no referral cookie: is the membership approved? {who}; or use --register")

    async def run(self) -> Outcome:
        """Send everything on schedule, and wait for the replies."""
        plan, outcome = self.plan, self.outcome
        self._schedule = visitors.schedule(plan.rate, plan.duration_s, self._chance if plan.poisson else None)
        gc.collect()  # before the clock runs: a large heap takes some 0.3 s
        gc.freeze()
        gc.disable()  # a collection is lag, and nothing that is made for a request refers to itself
        try:
            self._started, self._next = monotonic() + _TICK_S, 0.0
            self._forward()
            while self._next < inf:
                self.send_due()
                await asyncio.sleep(max(self._next - monotonic(), _TICK_S) if self._next < inf else 0)
            outcome.seconds = monotonic() - self._started
            await self.drained(plan.patience_s)
        finally:
            gc.enable()
            gc.unfreeze()
        return outcome

    async def drained(self, patience_s: float) -> None:
        """Wait until every request has its reply; what has none in time stays in flight."""
        deadline = monotonic() + patience_s
        while self.in_flight and monotonic() < deadline:  # noqa: ASYNC110 - an event would cost every reply a look
            await asyncio.sleep(_TICK_S)

    async def close(self) -> None:
        """End every connection; what has no reply by now has none."""
        for task in self._reopening:
            task.cancel()
        await asyncio.gather(*self._reopening, return_exceptions=True)
        self._next, self._closing = inf, True
        for connection in list(self._open):
            connection.transport.abort()
        while self._open:  # noqa: ASYNC110 - as above
            await asyncio.sleep(_TICK_S)

    def send_due(self) -> None:
        """Send what is due by now, and write down how late that is."""
        now, outcome = monotonic(), self.outcome
        for _ in range(_AT_ONCE):
            due = self._next
            if due > now:
                return
            self._forward()
            kind = next(self._kinds)
            if self.in_flight >= self._most or not self._open:
                outcome.unsent += 1
                continue
            outcome.sent += 1
            outcome.lag.add(now - due)
            self._turn = turn = (self._turn + 1) % len(self._visitors)
            if kind == CLICK:
                self._click(turn, due)
                continue
            if kind == IMPRESSION:
                self._send(_Request(kind, due, 0), self._requests.impression(self._visitors[turn]))
                continue
            if kind == RELOAD and self._recent:
                number, visitor = self._chance.choice(self._recent)
            else:
                kind, number, visitor = ORDER, outcome.ledger.new_order(), self._visitors[turn]
                self._recent.append((number, visitor))
            self._send(_Request(kind, due, number), self._requests.order(visitor, number))

    def _forward(self) -> None:
        due = next(self._schedule, None)
        self._next = inf if due is None else self._started + due

    def _click(self, n: int, due: float) -> None:
        # Mostly somebody new, without a cookie, who takes the place of another.
        self._send(
            _Request(CLICK, due, n), self._requests.click(Visitor.number(n, self._door.netloc) if due else self._visitors[n])
        )

    def _send(self, request: _Request, data: bytes) -> None:
        connection = None
        while self.idle and connection is None:
            connection = self.idle.popleft()
            if not connection.open:
                connection = None
        if connection is None:
            connection = self._open[0]
            self._open.rotate(-1)
        connection.waiting.append(request)
        self.in_flight += 1
        connection.transport.write(data)

    def answered(self, request: _Request, reply: Reply, now: float) -> None:
        """Write down what became of a request."""
        kind, due, number = request
        self.in_flight -= 1
        outcome, said = self.outcome, reply.said
        if due:
            outcome.latency.add(now - due)
            outcome.replies[kind, reply.status, said] += 1
        else:
            self._last_reply = reply
        outcome.ledger.told(kind, number, said)
        if kind == CLICK and reply.cookie and said == "ok":
            self._visitors[number] = Visitor.number(number, self._door.netloc, reply.cookie)

    def join(self, connection: _Connection) -> None:
        """A connection is open."""
        self._open.append(connection)
        self.idle.append(connection)

    def leave(self, connection: _Connection) -> None:
        """A connection has ended: its requests are lost, and another is opened instead."""
        self._open.remove(connection)
        for kind, due, number in connection.waiting:
            self.in_flight -= 1
            self.outcome.lost += bool(due)
            self.outcome.ledger.told(kind, number, "")
        connection.waiting.clear()
        if not self._closing:
            task = asyncio.ensure_future(self._reopen())
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)

    async def _reopen(self) -> None:
        while True:
            try:
                return await self._connect()
            except OSError:
                await asyncio.sleep(_RETRY_S)

    async def _connect(self) -> None:
        await self._door.open(lambda: _Connection(self))


async def drive(plan: Plan, progress: Callable[[Outcome, int], None] | None = None, *, fleet: Fleet | None = None) -> Outcome:
    """Carry a plan out. `progress` is called every second with what there is so far and how many replies are awaited.

    Whoever wants to look at it meanwhile makes the `fleet`.
    """
    fleet = fleet or Fleet(plan)

    async def tell() -> None:
        while True:
            await asyncio.sleep(1)
            progress(fleet.outcome, fleet.in_flight)

    telling = None
    try:
        await fleet.connect()
        await fleet.visit()
        telling = asyncio.ensure_future(tell()) if progress else None
        await fleet.run()
    finally:
        if telling:
            telling.cancel()
        await fleet.close()
    return fleet.outcome
