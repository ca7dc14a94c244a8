"""The recogniser: what it takes for a request is one to guard and parser, and says the same, also where it knew the rest before."""

import re

from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD

from pixeld.web.desk import said
from pixeld.web.guard import GuardedParser, Room, Rules
from pixeld.web.origin import Origin
from pixeld.web.recogniser import Recogniser

LIMITS = {"max_line_size": 300, "max_field_size": 300, "max_headers": 8}
MAX_BYTES = 400
ORIGIN = Origin(country_header="CF-IPCountry")
LINE = b"GET /t/acme/o.gif?order=1&amount=2 HTTP/1.1\r\n"
VALUE = re.compile(rb"(?<=\r\n)(Cookie|cookie|X-Forwarded-For): [^\r]*")


class Loop:
    """As much of one as a guard asks for."""

    def time(self):
        return 0.0

    def call_later(self, delay, callback):
        return self


LOOP = Loop()


def parsed(data):
    """The one message that guard and parser make of all of `data`, or None."""
    protocol = BaseProtocol(LOOP)
    parser = HttpRequestParser(protocol, LOOP, 2**16, auto_decompress=False, **LIMITS)
    guard = GuardedParser(parser, None, Rules(Room(1, str), 1.0, MAX_BYTES, str), LOOP)
    try:
        messages, _, _ = guard.feed_data(data)
        if len(messages) != 1 or messages[0][1] is not EMPTY_PAYLOAD or guard.feed_data(LINE + b"Host: a\r\n\r\n")[0] == ():
            return None
    except HttpProcessingError:
        return None
    return messages[0][0]


def others(data):
    """Requests that differ from `data` in what the recogniser cuts out."""
    _, end, rest = data.partition(b"\r\n")
    yield LINE + rest
    for value in (b"a=b", b""):
        yield LINE + VALUE.sub(lambda found: found[1] + b": " + value, end + rest)[2:]  # noqa: B023 - used at once


def check(data):
    """`data` as a request, as a part of its line, as a cookie, and as header lines."""
    third = len(data) // 3
    target, value, lines = data[:third], data[third : 2 * third], data[2 * third :]
    for request in (
        data,
        b"GET /t/" + data + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        LINE + b"Host: a\r\nCookie: " + data + b"\r\n\r\n",
        LINE + b"Host: a\r\n" + data + b"\r\n\r\n",
        b"GET /t/a/" + target + b" HTTP/1.1\r\nX-Forwarded-For: " + value + b"\r\ncookie: " + lines + b"\r\nHost: a\r\n\r\n",
        b"GET /t/a/" + target + b" HTTP/1.1\r\nHost: a\r\nCookie: " + value + b"\r\n" + lines + b"\r\n\r\n",
    ):
        for proxied in (False, True):
            recogniser = Recogniser(ORIGIN, LOOP, max_bytes=MAX_BYTES, **LIMITS)
            for other in others(request):
                recogniser.recognise(other, proxied)
            found = recogniser.recognise(request, proxied)
            if found is None:
                continue
            message = parsed(request)
            assert message is not None, f"not one request: {request!r}"
            assert (message.method, message.version, message.should_close) == ("GET", HttpVersion11, False)
            headers = message.headers
            told = message.path, headers.get(hdrs.COOKIE, ""), headers.get(hdrs.X_FORWARDED_FOR, "") if proxied else ""
            assert found == (*told, said(headers, ORIGIN)), request
