"""The fast path changes speed and never bytes: whatever is sent, the same comes back with and without it."""

import re

import pytest

from tests.wire.corpus import RULES
from tests.wire.peer import request

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

ORDER = "/t/acme/o.gif?order=1&amount=1"
HOST = "Host: track.example"


def lines(*texts):
    return "\r\n".join((*texts, "", "")).encode("latin-1")


# Requests that aiohttp refuses, and in which the fast path must have no other opinion.
MALFORMED = {
    "no Host": lines(f"GET {ORDER} HTTP/1.1", "Accept: */*"),
    "two Hosts": request(ORDER, HOST),
    "unknown version": request(ORDER, version="1.7"),
    "method in small letters": request(ORDER, method="get"),
    "method that is no token": request(ORDER, method="G@T"),
    "space in the target": request("/t/acme/o.gif?order=1 2"),
    "NUL in the target": request("/t/acme/o.gif?order=\0"),
    "not ASCII in the target": request("/t/acme/o.gif?order=ü"),
    "no slash at the beginning": request("t/acme/o.gif"),
    "NUL in a header": request(ORDER, "Cookie: a\0b"),
    "space before a colon": request(ORDER, "Cookie : a=b"),
    "line that is no header": request(ORDER, "no colon"),
    "folded header": request(ORDER, "Cookie: a=b", " c=d"),
    "bare line feeds": lines(f"GET {ORDER} HTTP/1.1\nHost: a\n"),
    "length that is no number": request(ORDER, "Content-Length: x"),
    "negative length": request(ORDER, "Content-Length: -1"),
    "two lengths": request(ORDER, "Content-Length: 0", "Content-Length: 5"),
    "length and chunks": request(ORDER, "Content-Length: 5", "Transfer-Encoding: chunked"),
    "unknown transfer encoding": request(ORDER, "Transfer-Encoding: x"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "rubbish": b"\0\xff\r\n\r\n",
    "target over the limit": request(ORDER + "&x=" + "a" * 8190),
    "header over the limit": request(ORDER, "Cookie: " + "a" * 8191),
    "header name over the limit": request(ORDER, "a" * 8191 + ": b"),
    "too many headers": request(ORDER, *(f"A{n}: b" for n in range(130))),
    "rubbish after a good request": request(ORDER) + b"\0\r\n\r\n",
}
# Requests that are answered, and in which something is not as browsers do it.
UNUSUAL = {
    "close": request(ORDER, "Connection: close"),
    "more after a close": request(ORDER, "Connection: close") + request(ORDER),
    "HTTP/2 in clear": request(ORDER, version="2.0"),
    "no version": lines(f"GET {ORDER}", HOST),
    "chunk size that is no number": request(ORDER, "Transfer-Encoding: chunked", body=b"x\r\n\r\n"),
    "keep alive": request(ORDER, "Connection: keep-alive"),
    "HTTP/1.0": request(ORDER, version="1.0"),
    "HTTP/1.0 that stays": request(ORDER, "Connection: keep-alive", version="1.0"),
    "whole URL as target": request(f"http://track.example{ORDER}"),
    "whole URL of a click": request("http://track.example/t/acme/c/blog?s1=a#b"),
    "empty line before": b"\r\n\r\n" + request(ORDER),
    "length of nothing": request(ORDER, "Content-Length: 0"),
    "body": request(ORDER, "Content-Length: 5", body=b"hello"),
    "chunked body": request(ORDER, "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "compressed nothing": request(ORDER, "Content-Encoding: gzip"),
    "100-continue": request(ORDER, "Expect: 100-continue"),
    "other expectation": request(ORDER, "Expect: miracles"),
    "upgrade that nobody knows": request(ORDER, "Connection: Upgrade", "Upgrade: h2c"),
    "upgrade to a WebSocket": request(ORDER, "Connection: Upgrade", "Upgrade: websocket"),
    "upgrade without saying so": request(ORDER, "Upgrade: websocket"),
    "range": request(ORDER, "Range: bytes=0-4"),
    "condition": request(ORDER, 'If-None-Match: "a"', "If-Modified-Since: Sat, 01 Jan 2028 00:00:00 GMT"),
    "two cookies": request(ORDER, "Cookie: a=b", "Cookie: c=d"),
    "empty header": request(ORDER, "User-Agent:"),
    "spaces around a value": request(ORDER, "Cookie: \t a=b \t "),
    "longest target": request(ORDER + "&x=" + "a" * (8190 - len(ORDER) - 3)),
    "longest header": request(ORDER, "Cookie: " + "a" * (8190 - 6)),
    "not below /t/": request("/t"),
    "another path": request("/nothing"),
    "POST": request(ORDER, "Content-Length: 5", method="POST", body=b"hello"),
    "POST without a body": request(ORDER, method="POST"),
    "PUT": request(ORDER, "Content-Length: 0", method="PUT"),
    "DELETE": request(ORDER, method="DELETE"),
    "OPTIONS": request(ORDER, method="OPTIONS"),
    "OPTIONS *": request("*", method="OPTIONS"),
    "TRACE": request(ORDER, method="TRACE"),
    "PURGE": request(ORDER, method="PURGE"),
    "CONNECT": request("track.example:80", method="CONNECT"),
}
CORPUS = {rule.id: rule.raw for rule in RULES} | MALFORMED | UNUSUAL


async def everything(world, raw):
    """All that comes back for `raw` and a last request, which ends the connection if `raw` hasn't. Only dates may differ."""
    peer = await world.peer()
    await peer.send(raw)
    await peer.send(request("/t/last", "Connection: close"))
    return re.sub(rb"\r\nDate: [^\r]{29}\r\n", b"\r\nDate:\r\n", await peer.rest())


@pytest.mark.parametrize("raw", CORPUS.values(), ids=CORPUS)
async def test_the_same_bytes(raw, start):
    hot, cold = await start(fast_path=True), await start(fast_path=False)
    assert await everything(hot, raw) == await everything(cold, raw)
    assert hot.intake.lines == cold.intake.lines
    assert hot.outcomes == cold.outcomes


@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_malformed_gets_a_400_and_the_connection_ends(raw, start, fast_path, split):
    world = await start(fast_path=fast_path)
    peer = await world.peer()
    await peer.send(raw, [1] * len(raw) if split else None)
    said = await peer.rest()
    assert b" 400 Bad Request\r\n" in said
    assert b"\r\nServer: pixeld\r\n" in said and b"aiohttp" not in said


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE"])
async def test_other_methods_are_refused(method, start, fast_path):
    world = await start(fast_path=fast_path)
    reply = await (await world.peer()).ask(request(ORDER, method=method))
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET,HEAD"
    assert "Server" not in reply.headers
    assert world.outcomes == {}
