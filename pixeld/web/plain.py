"""Connections whose reads are whole, plain requests: answered past the parser, until one isn't; from then on it has them all.

As long as the parser has been fed nothing, the next byte surely begins a request. Once it has, only it knows where one begins.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pixeld.web.desk import Case
from pixeld.web.fastpath import MAX_WAITING, HotRequestHandler
from pixeld.web.recogniser import Recogniser


class PlainRequestHandler(HotRequestHandler):
    """A connection whose requests needn't be parsed, mostly."""

    __slots__ = ("plain", "recognise")

    def __init__(self, manager: web.Server, *, recogniser: Recogniser, **options: Any) -> None:
        super().__init__(manager, **options)
        self.recognise, self.plain = recogniser.recognise, True

    def data_received(self, data: bytes) -> None:
        """As the base class, or past it."""
        if self.plain:
            if self._answered(data) or not (data := self._behind_plain(data)):
                return
            self.plain = False
        super().data_received(data)

    def _behind_plain(self, data: bytes) -> bytes:
        """Answer the plain requests at the beginning of a read that holds several; what is left of it.

        Not only for peers that pipeline by choice: whoever is kept waiting may do so, and a connection that went to the parser
        for that would cost twice as much from then on, when time is short already.
        """
        at, end = 0, data.find(b"\r\n\r\n") + 4
        if end == len(data):
            return data  # only one, which has been looked at
        while end > 3 and self._answered(data[at:end]):
            at, end = end, data.find(b"\r\n\r\n", end) + 4
        return data[at:]

    def _answered(self, data: bytes) -> bool:
        """Answer what is one whole, plain request; False, and nothing done, for anything else, and when that raised."""
        if self.transport is None or self.writing_paused or self.reading_held or len(self.waiting) >= MAX_WAITING:
            return False
        peer = self.peer
        first = peer is None
        if peer is None:
            peer = self.met()
        request = self.recognise(data, peer.trusted)
        if request is None:
            return False
        if first:
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
