"""The fast path: tracking requests answered inside aiohttp's protocol, their replies held until the event is durable.

aiohttp's parser is wrapped, its connection class is not copied. Replies of one connection leave in the order of its requests:
* a hot message that finds the base class idle is answered here; its reply leaves when it and those before it are settled;
* one that finds the base class at work goes there too, where order is kept already;
* whatever else comes behind a waiting reply is parked until none waits; nothing is read meanwhile, so that all is bounded.
Only this file names aiohttp's private attributes; tests/contract/test_aiohttp_internals.py tells when a release moves one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError, HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, EmptyStreamReader
from aiohttp.web_protocol import _ErrInfo

from pixeld.tracking.paths import PREFIX
from pixeld.web.desk import Case, Desk
from pixeld.web.guard import Fed, GuardedParser, Rules
from pixeld.web.origin import Peer

MAX_WAITING = 32  # replies held for one connection: aiohttp's own bound for requests in a pipeline
_NO_BODY = EmptyStreamReader()  # not EMPTY_PAYLOAD: by this a parse error is told from a hot message, at no cost


class HotParser:
    """Stands where aiohttp's parser stood, and passes on what the guard lets through but for what is answered here."""

    __slots__ = ("_conn", "_consumed", "_feed", "_parked", "_parser")

    def __init__(self, parser: GuardedParser, conn: HotRequestHandler) -> None:
        self._parser, self._conn = parser, conn
        self._feed, self._consumed = parser.feed_data, parser.message_consumed
        self._parked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> Fed:
        """As aiohttp's, but never raises: a parse error becomes the message that the base class makes of it, in its place."""
        conn = self._conn
        messages = self._parse(data)
        if self._parked:
            messages, self._parked = [*self._parked, *messages], []
        cold: list[Any] = []
        while messages:
            taken = 0 if cold else self._answer_leading(messages)
            cold += messages[taken:]
            conn.release()  # what needs no storing leaves at once
            # llhttp stops at 32 messages that are not consumed and keeps the rest of the bytes to itself: slots are free now.
            # Without this a peer that pipelines 100 requests gets 32 replies and hangs.
            messages = self._parse(b"") if taken and len(messages) > 1 else ()
        if cold and conn.waiting:
            self._parked, cold = cold, []
            conn.hold_reading()
        return cold, False, b""

    def _parse(self, data: bytes) -> Any:
        try:
            return self._feed(data)[0]
        except HttpProcessingError as error:
            return [(_ErrInfo(status=400, exc=error, message=error.message), _NO_BODY)]

    def _answer_leading(self, messages: list[Any]) -> int:
        """Answer messages up to the first that has to go the ordinary way; how many those are."""
        conn = self._conn
        if conn.writing_paused or not conn.idle:  # a slow reader gets the back-pressure that ordinary handlers give
            return 0
        for taken, (message, payload) in enumerate(messages):
            if (
                payload is not EMPTY_PAYLOAD
                or message.method != "GET"
                or not message.path.startswith(PREFIX)
                or message.should_close
                or message.version != HttpVersion11
                or len(conn.waiting) >= MAX_WAITING
                or hdrs.EXPECT in message.headers  # aiohttp says "100 Continue" first
                or not conn.answer(message)
            ):
                return taken
            self._consumed()
        return len(messages)


class ColdRequestHandler(web.RequestHandler):
    """aiohttp's connection behind the guard."""

    __slots__ = ("guard",)

    def __init__(self, manager: web.Server, *, rules: Rules, loop: asyncio.AbstractEventLoop, **limits: Any) -> None:
        super().__init__(manager, loop=loop, **limits)
        self._parser = self.guard = GuardedParser(self._parser, self, rules, loop)  # type: ignore[assignment, arg-type]

    @property
    def idle(self) -> bool:
        """Whether the base class has nothing to do: `start()` is parked at its future, or (Python 3.11) has not run yet."""
        # Not `_current_request`: it is None, too, before a request's task starts and while its response is being written.
        waiter = self._waiter
        return not waiter.done() if waiter is not None else self._request_count == 0


class HotRequestHandler(ColdRequestHandler):
    """aiohttp's connection, whose hot requests never get as far as its handlers."""

    __slots__ = ("desk", "leaving", "peer", "reading_held", "waiting")  # none is a name of the base class

    def __init__(self, manager: web.Server, *, desk: Desk, **limits: Any) -> None:
        super().__init__(manager, **limits)
        self.desk, self.waiting, self.reading_held = desk, deque[Case](), False
        self.peer: Peer | None = None
        self.leaving: asyncio.Future[None] | None = None  # asked to close while replies waited; done when closed
        self._parser = HotParser(self.guard, self)  # type: ignore[assignment]

    def met(self) -> Peer:
        """The other end, asked for once."""
        self.peer = self.peer or self.desk.origin.peer(self.peername)
        return self.peer

    def answer(self, message: RawRequestMessage) -> bool:
        """Answer a hot message, its reply last in the line; False, and nothing done, when that raised."""
        case = Case(self.desk, self.release)
        try:
            self.desk.take_parsed(case, message.method, message.path, message.headers, self.met())
        except Exception as error:  # noqa: BLE001 - raised on, any would kill the connection without a reply
            self.desk.failed(error)
            return False
        self.waiting.append(case)
        return True

    def release(self) -> None:
        """Send, in one write, every reply that is settled and has nothing unsettled before it."""
        waiting = self.waiting
        if not waiting or waiting[0].reply is None:
            return
        end, out = self.desk.date_line, b""
        while waiting and (reply := waiting[0].reply) is not None:
            waiting.popleft()
            out += reply.head + end + reply.body  # one, mostly, for which this is faster than a list to join
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(out)
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout
        if self.reading_held and not waiting:
            self._loop.call_soon(self.proceed)  # not now: whoever releases has other connections to serve, and this may raise

    def hold_reading(self) -> None:
        """Read nothing until `proceed`."""
        assert self.transport is not None
        self.reading_held = True
        self.transport.pause_reading()

    def proceed(self) -> None:
        """Let go what was parked behind replies that have left; then close, if that was asked for meanwhile."""
        if self.waiting or not self.reading_held or self.transport is None:
            return
        if self.leaving is None:
            self.reading_held = False
            self.transport.resume_reading()  # first: in the next line the base class may pause it, for reasons of its own
        self.data_received(b"")
        if self.leaving is not None and not self.waiting:
            # Now, or after the request that the base class is at.
            (self.force_close if self.idle else super().close)()

    def close(self) -> None:
        """As the base class, but replies that wait leave first; nothing more is read meanwhile."""
        if self.transport is None or not (self.waiting or self.reading_held):
            super().close()
        elif self.leaving is None:
            self.leaving = self._loop.create_future()
            self.hold_reading()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - the base class's
        """As the base class, after giving replies that wait as much time to leave."""
        self.close()
        if self.leaving is not None:
            await asyncio.wait((self.leaving,), timeout=timeout)
            super().close()
        await super().shutdown(timeout)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A peer that only stops sending still gets what it waits for; TLS knows no connection open on one side."""
        if keep_open := bool(self.waiting) and self.ssl_context is None:
            self.close()
        return keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        """As the base class. Events that were taken are stored and counted all the same."""
        if self.leaving is not None:
            self.leaving.set_result(None)
        super().connection_lost(exc)

    def _process_keepalive(self) -> None:
        if self.waiting:  # not idle, though the base class believes so: it looks again after another keepalive_timeout
            self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout
        super()._process_keepalive()
