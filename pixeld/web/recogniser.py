"""Whole, plain requests told from their bytes, without a parser: what aiohttp's has once said of header lines still holds.

A request is cut into its target, the values that differ from visitor to visitor (`Cookie`, behind a proxy `X-Forwarded-For`)
and the rest, which thousands of visitors share. Of the rest, aiohttp's own parser says what it is, once: another parser would
be another opinion. Target and values are held to characters of which nobody makes anything else, so that whatever else the
parser would do depends on the rest alone. tests/fuzz/fuzz_recogniser.py looks for requests that are read differently.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial

from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDictProxy

from pixeld.web.desk import Said, said
from pixeld.web.origin import Origin

MAX_REST = 1536  # bytes: Chrome's, with its client hints, are some 700
GENERATION = 4096  # rests, twice: some 10 MB of usual ones, 30 of the longest
# RFC 3986's characters but "#", which no browser sends.
_LINE = re.compile(rb"GET (/t/[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]+) HTTP/1\.1\r\n")
# What may stand in a rest: what browsers of one kind, and proxies, write alike for everybody. Whatever else there is (an
# address under one of a dozen names, a session, a number for each request) may name a visitor, whom nothing here is to
# remember; or it asks for more than a reply. Such a request is the parser's.
_SHARED = frozenset(
    {
        "host", "user-agent", "accept", "accept-language", "accept-encoding", "connection", "keep-alive", "cache-control",
        "pragma", "priority", "dnt", "sec-gpc", "sec-purpose", "purpose", "x-moz", "save-data", "upgrade-insecure-requests",
        "origin", "x-requested-with", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
        "cookie", "x-forwarded-for",  # their names only: values are cut out
    }
)  # fmt: skip
_SHARED_BEGINNINGS = "sec-ch-", "sec-fetch-"
_SITE = re.compile(r"https?://[^/?#]+/?")  # all that browsers tell another site of where they come from, unless a page says so


Plain = tuple[str, str, str, Said]  # target, cookie, X-Forwarded-For, and what is shared


class Recogniser:
    """Recognises requests for one listener, whose limits are its parser's. Holds no more than two generations of rests."""

    __slots__ = ("_max_bytes", "_old", "_origin", "_parser", "_young")

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        *,
        max_bytes: int,
        max_line_size: int,
        max_field_size: int,
        max_headers: int,
    ) -> None:
        self._origin = origin
        self._max_bytes = min(max_bytes, max_line_size, max_field_size)  # then no line is over its limit
        self._parser = partial(
            HttpRequestParser,
            BaseProtocol(loop),
            loop,
            2**16,
            max_line_size=max_line_size,
            max_field_size=max_field_size,
            max_headers=max_headers,
            auto_decompress=False,
        )
        self._young: dict[bytes, Said] = {}
        self._old: dict[bytes, Said] = {}

    def recognise(self, data: bytes, proxied: bool) -> Plain | None:
        """The request that `data` is, all of it and nothing else; None when only the parser can say. Never raises."""
        match = _LINE.match(data)
        if match is None or len(data) > self._max_bytes:
            return None
        rest, cookie, forwarded = data[match.end() - 2 :], "", ""
        at = rest.find(b"\r\nCookie: ")
        if at < 0:
            at = rest.find(b"\r\ncookie: ")  # HTTP/2 knows no capitals, and proxies pass on what they got
        if at >= 0:
            rest, cookie = _cut(rest, at + 10)
        if proxied and (at := rest.find(b"\r\nX-Forwarded-For: ")) >= 0:
            rest, forwarded = _cut(rest, at + 19)
        known = self._young.get(rest)
        if known is None and (known := self._learn(rest, data, match[1], cookie, forwarded)) is None:
            return None
        # Values that the parser takes as they are: nothing to strip, no controls, no bytes to be decoded.
        if not (cookie.isascii() and cookie.isprintable()) or cookie[:1] == " " or cookie[-1:] == " ":
            return None
        if forwarded and not (forwarded.isascii() and forwarded.isprintable() and forwarded == forwarded.strip(" ")):
            return None
        return match[1].decode(), cookie, forwarded, known

    def _learn(self, rest: bytes, data: bytes, target: bytes, cookie: str, forwarded: str) -> Said | None:
        """What a rest says that is not known, or not known lately; None when it isn't plain."""
        known = self._old.get(rest)
        if known is None:
            whole = rest.find(b"\r\n\r\n") == len(rest) - 4  # the parser keeps the begin of a next one to itself
            if not whole or len(rest) > MAX_REST or (headers := self._parsed(data, target)) is None:
                return None
            told = headers.getall(hdrs.COOKIE, [""]), headers.getall(hdrs.X_FORWARDED_FOR, [""])
            if told != ([cookie], [forwarded]) or not all(self._shared(*header) for header in headers.items()):
                return None
            known = said(headers, self._origin)
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, {}
        self._young[rest] = known
        return known

    def _shared(self, name: str, value: str) -> bool:
        name = name.lower()
        if name == "referer":
            return _SITE.fullmatch(value) is not None
        return name in _SHARED or name.startswith(_SHARED_BEGINNINGS) or name == self._origin.country_header.lower()

    def _parsed(self, data: bytes, target: bytes) -> CIMultiDictProxy[str] | None:
        """The headers of the one request without a body that `data` is to aiohttp's parser."""
        try:
            messages, upgraded, tail = self._parser().feed_data(data)
        except HttpProcessingError:
            return None
        if len(messages) != 1 or upgraded or tail:
            return None
        (message, payload), = messages
        plain = payload is EMPTY_PAYLOAD and message.version == HttpVersion11 and not message.should_close
        return message.headers if plain and message.path == target.decode() else None


def _cut(rest: bytes, start: int) -> tuple[bytes, str]:
    """A header's value, which begins at `start`, out of the rest. Its name stays, so that a rest without it is another."""
    stop = rest.find(b"\r\n", start)
    return rest[:start] + rest[stop:], rest[start:stop].decode("latin-1")
