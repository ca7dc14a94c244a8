"""Connections whose reads are whole, plain requests: answered past the parser, until one isn't; from then on it has them all.

As long as the parser has been fed nothing, the next byte surely begins a request. Once it has, only it knows where one begins.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pixeld.web.desk import Case
from pixeld.web.fastpath import MAX_WAITING, HotRequestHandler
from pixeld.web.origin import Peer
from pixeld.web.recogniser import Plain, Recogniser

_END = b"\r\n\r\n"  # of a request without a body


class PlainRequestHandler(HotRequestHandler):
    """A connection whose requests needn't be parsed, mostly."""

    __slots__ = ("plain", "recognise")

    def __init__(self, manager: web.Server, *, recogniser: Recogniser, **options: Any) -> None:
        super().__init__(manager, **options)
        self.recognise, self.plain = recogniser.recognise, True

    def data_received(self, data: bytes) -> None:
        """As the base class, or past it."""
        if self.plain:
            data = self._answer_plain(data)
            if not data:
                return
            self.plain = False
        super().data_received(data)

    def _answer_plain(self, data: bytes) -> bytes:
        """Answer a read that is whole, plain requests and nothing else. What is left for the parser: nothing; all of any other
        read; or what begins with the request whose answer raised.
        """
        if self.transport is None or self.writing_paused or self.reading_held or len(self.waiting) >= MAX_WAITING:
            return data
        peer = self.peer or self.met()
        request = self.recognise(data, peer.trusted)
        if request is not None:
            return b"" if self._take(request, peer) else data
        # Several, and not only from peers that pipeline by choice: whoever is kept waiting may, and a connection that went to
        # the parser for that would cost twice as much from then on, when time is short already.
        *heads, end = data.split(_END)
        if end or not 2 <= len(heads) <= MAX_WAITING - len(self.waiting):
            return data
        requests = [self.recognise(head + _END, peer.trusted) for head in heads]
        plain = [request for request in requests if request is not None]
        if len(plain) < len(heads):
            return data
        for n, request in enumerate(plain):
            if not self._take(request, peer):
                return _END.join((*heads[n:], b""))
        return b""

    def _take(self, request: Plain, peer: Peer) -> bool:
        """Answer a request, its reply last in the line; False, and nothing done, when that raised."""
        self.guard.arrived()
        target, cookie, forwarded, said = request
        case = Case(self.desk, self.release)
        try:
            self.desk.take(case, "GET", target, cookie, forwarded, said, peer)
        except Exception as error:  # noqa: BLE001 - raised on, any would kill the connection without a reply
            self.desk.failed(error)
            return False
        self.waiting.append(case)
        if case.reply is not None:
            self.release()
        return True

    def close(self) -> None:
        """As the base class, which knows what to do with what still comes."""
        self.plain = False
        super().close()
