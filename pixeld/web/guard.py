"""What stands between peers and handlers: so many connections, and whole requests only, in time, in bounds, with one meaning.

aiohttp's parser bounds a line, a header and their number. What it leaves open is closed here, hot and cold alike: how long a
request may take to arrive, how much its line and headers may be together, and where it and another reader of the same bytes (a
proxy before it) may find the next request in different places.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import hdrs
from aiohttp.http import HttpProcessingError, HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD

log = logging.getLogger(__name__)
_VERSIONS = (HttpVersion11, HttpVersion10)
_SAY_EVERY_S = 60
Fed = tuple[Any, bool, bytes]  # (message, payload) pairs; then what aiohttp says of upgrades, of which there are none here
_NOTHING: Fed = ((), False, b"")


class Room:
    """How many connections there may be at once. One over it costs its accepting and its end, no parser's work and no task."""

    __slots__ = ("_count", "_say_again", "_since", "limit", "open")

    def __init__(self, limit: int, count: Callable[[str], None]) -> None:
        self.limit, self.open, self._count = limit, 0, count
        self._since, self._say_again = 0, 0.0

    def enter(self, now: float) -> bool:
        """Take a place; False, and the operator told (once a minute at most), when there is none. `now` is the loop's time."""
        if self.open < self.limit:
            self.open += 1
            return True
        self._count("pixeld_refused_connections_total")
        self._since += 1
        if now >= self._say_again:
            log.warning("connections are refused; see max_connections", extra={"open": self.open, "refused": self._since})
            self._say_again, self._since = now + _SAY_EVERY_S, 0
        return False

    def leave(self) -> None:
        """Give a place back."""
        self.open -= 1


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the connections of one listener. `count` takes the names of two counters of `metrics`."""

    room: Room
    request_s: float
    request_bytes: int
    count: Callable[[str], None]


class Connection(Protocol):
    """What is asked of a connection."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is being done for it, and no reply is owed."""

    def force_close(self) -> None:
        """Close now."""


class GuardedParser:
    """aiohttp's parser, which passes on requests that keep the rules.

    A request that asks for another protocol gets its answer in this one and is the last of its connection: aiohttp drops what
    came in one read behind `Upgrade: h2c`, and would go on in the middle of whatever follows.
    """

    __slots__ = (
        "_arrived", "_before", "_conn", "_ended", "_feed", "_inside", "_loop", "_parser", "_payload", "_rules", "_since",
        "_timer",
    )  # fmt: skip

    def __init__(self, parser: HttpRequestParser, conn: Connection, rules: Rules, loop: asyncio.AbstractEventLoop) -> None:
        self._parser, self._feed, self._conn, self._rules, self._loop = parser, parser.feed_data, conn, rules, loop
        self._payload: Any = EMPTY_PAYLOAD  # the last request's body
        self._arrived = self._before = 0  # bytes of an unfinished request's head; of the read in which it may have begun
        self._inside = self._ended = False
        self._since: float | None = None  # when an unfinished request began to arrive
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> Fed:
        """As aiohttp's. HttpProcessingError for what breaks a rule; nothing is read after that."""
        if self._ended:
            return _NOTHING
        try:
            messages = self._feed(data)[0]
        except HttpProcessingError as error:
            self._ended = True
            self._payload.set_exception(error)  # aiohttp would wait for the rest of this body, as long as for an honest one
            raise
        if not messages:
            if data:
                self._wait(len(data))
            return _NOTHING
        if self._before + self._arrived + len(data) > self._rules.request_bytes:
            self._measure(messages)
        self._arrived, self._before = 0, len(data) or self._before
        for n, (message, _) in enumerate(messages):
            if message.version not in _VERSIONS:
                raise self._refusal("This is not HTTP/1.1.")
            if hdrs.TRANSFER_ENCODING in message.headers and not (message.chunked and message.version == HttpVersion11):
                raise self._refusal("Nobody can say where this request ends.")
            if message.upgrade:
                self._ended, self._since = True, None
                return [*messages[:n], (_last(message), EMPTY_PAYLOAD)], False, b""
        self._payload, self._since = messages[-1][1], None
        if self._payload is not EMPTY_PAYLOAD and not self._payload.is_eof():
            self._begin()
        return messages, False, b""

    def enter(self) -> bool:
        """The connection is there, and its first request should be soon; False when there is no room for it."""
        self._inside = self._rules.room.enter(self._loop.time())
        if self._inside:
            self._begin()
        return self._inside

    def arrived(self) -> None:
        """The first request is there, though it came past this parser."""
        self._since = None

    def leave(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._inside:
            self._inside = False
            self._rules.room.leave()

    def _begin(self) -> None:
        """A request is arriving: from now on it has `request_s`."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._rules.request_s, self._look)

    def _wait(self, n: int) -> None:
        """`n` bytes have come and finished no head."""
        if self._payload is not EMPTY_PAYLOAD:
            if self._payload.is_eof():
                self._payload, self._since, self._before = EMPTY_PAYLOAD, None, n
            return
        self._arrived += n
        if self._arrived > self._rules.request_bytes:
            raise self._refusal("This request is too long.")
        if self._since is None:
            self._begin()

    def _measure(self, messages: Any) -> None:
        """Refuse a head that is too long, however it came: all of it in one read, too."""
        for message, _ in messages:
            size = len(f"{message.method} {message.path} HTTP/1.1\r\n\r\n")
            size += sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
            if size > self._rules.request_bytes:
                raise self._refusal("This request is too long.")

    def _refusal(self, why: str) -> BadHttpMessage:
        self._ended = True
        return BadHttpMessage(why)

    def _look(self) -> None:
        """End a connection on which a request has been arriving for too long; what the peer waits for comes first."""
        self._timer = None
        if self._since is None:
            return
        left = self._since + self._rules.request_s - self._loop.time()
        stuck = self._payload is not EMPTY_PAYLOAD  # a body that does not come, for which a handler may be waiting
        if left <= 0 and (stuck or self._conn.quiet):
            self._rules.count("pixeld_slow_requests_total")
            self._conn.force_close()
        else:
            self._timer = self._loop.call_later(left if left > 0 else self._rules.request_s, self._look)


def _last(message: RawRequestMessage) -> RawRequestMessage:
    """The same request, as the last of its connection and without its wish for another protocol."""
    m = message
    return RawRequestMessage(
        m.method, m.path, m.version, m.headers, m.raw_headers, True, m.compression, False, m.chunked, m.url
    )  # fmt: skip
