"""Requests that no honest peer sends, byte by byte: one row for each rule, its id saying the rule.

Orders are named: `A` is what the request is about, `B` a second request that is honestly sent behind it, `EVIL` one that stands
where only a confused reader would see a request.
"""

from dataclasses import dataclass

from tests.wire.peer import request


@dataclass(frozen=True)
class Attack:
    """Bytes, the statuses of all replies to them, and the orders that are stored.

    A last honest request follows on the same connection; its 404 is the last status where the connection has survived.
    """

    id: str
    raw: bytes
    statuses: tuple
    orders: str = ""
    bytewise: tuple | None = None  # the same two, where the end of a request is seen before what is wrong behind it


def order(name, *headers, body=b"", **how):
    return request(f"/t/acme/o.gif?order={name}&amount=1", *headers, body=body, **how)


def lines(*texts):
    """Bytes of lines, ended by an empty one."""
    return "\r\n".join((*texts, "", "")).encode("latin-1")


A, B, EVIL = order("A"), order("B"), order("EVIL")
TARGET = "/t/acme/o.gif?order=A&amount=1"
HOST = "Host: track.example"
CL, TE = "Content-Length: {}".format, "Transfer-Encoding: {}".format
CHUNKED = TE("chunked")
END = b"0\r\n\r\n"


def refused(id, raw, **how):
    """400, and nothing of it is done; the connection ends."""
    return Attack(id, raw, (400,), **how)


def taken(id, raw, orders="A", **how):
    """Understood in the one way there is to understand it."""
    return Attack(id, raw, (200,) * len(orders) + (404,), orders, **how)


def last(id, raw, status=200, orders="A", **how):
    """Answered, and nothing is read after it."""
    return Attack(id, raw, (status,), orders, **how)


def no_order(id, raw, status, *more, orders=""):
    """Understood, and nothing that is done here; the connection goes on."""
    return Attack(id, raw, (status, *more, 404), orders)


def torn(id, raw):
    """All at once it is refused. Its head alone is answered, and nothing is read after what is wrong with its body."""
    return Attack(id, raw, (400,), "", ((200,), "A"))


LENGTHS = [
    refused("length and chunks: the length would hide a request", order("A", CL(5), CHUNKED, body=END + EVIL)),
    refused("chunks and length: the chunks would hide a request", order("A", CHUNKED, CL(len(END + EVIL)), body=END + EVIL)),
    refused("two lengths that differ", order("A", CL(0), CL(len(EVIL)), body=EVIL)),
    refused("two lengths that agree", order("A", CL(0), CL(0))),
    refused("a list of lengths", order("A", CL("0, 0"))),
    refused("a length with a sign", order("A", CL("+0"))),
    refused("a negative length", order("A", CL(-1))),
    refused("a length in hexadecimal", order("A", CL("0x0"))),
    refused("a length with a decimal point", order("A", CL("0.0"))),
    refused("a length with an underscore", order("A", CL("0_0"))),
    refused("a length in other digits", order("A", CL("٠"))),
    refused("a length beyond 64 bits", order("A", CL(2**64))),
    refused("a length of 8,000 digits", order("A", CL("9" * 8000))),
    refused("an empty length", order("A", CL(""))),
    refused("a length of nothing but spaces", order("A", CL("   "))),
    refused("a length with words behind it", order("A", CL("0 0"))),
    refused("a length with a vertical tab", order("A", CL("0\v"))),
    refused("a length whose name has a space behind it", order("A", f"Content-Length : {len(EVIL)}", body=EVIL)),
    refused("a length whose name has a tab behind it", order("A", f"Content-Length\t: {len(EVIL)}", body=EVIL)),
    refused("a length on a folded line", order("A", "X: y", f" Content-Length: {len(EVIL)}", body=EVIL)),
    taken("a body of another request", order("A", CL(len(EVIL)), body=EVIL)),
    taken("leading zeros", order("A", CL("0005"), body=b"hello")),
    taken("spaces around a length", order("A", "Content-Length: \t 5 \t ", body=b"hello")),
    taken("a length that a name ends with", order("A", f"X-Content-Length: {len(EVIL)}") + B, "AB"),
    taken("no length: what follows is another request", A + B, "AB"),
    taken("a body that ends where a request begins", order("A", CL(5), body=b"hello") + B, "AB"),
    taken("a length of nothing", order("A", CL(0)) + B, "AB"),
]

CHUNKS = [
    refused("chunked twice", order("A", CHUNKED, CHUNKED, body=END + EVIL)),
    refused("chunked in one list twice", order("A", TE("chunked, chunked"), body=END + EVIL)),
    refused("chunked, but not last", order("A", TE("chunked, gzip"), body=END + EVIL)),
    refused("chunked and then identity", order("A", TE("chunked"), TE("identity"), body=END + EVIL)),
    refused("a coding that nobody knows", order("A", TE("xchunked"), body=END + EVIL)),
    refused("chunked in quotes", order("A", TE('"chunked"'), body=END + EVIL)),
    refused("chunked with a parameter", order("A", TE("chunked;a=b"), body=END + EVIL)),
    refused("chunked behind a vertical tab", order("A", TE("\vchunked"), body=END + EVIL)),
    refused("chunked behind a NUL", order("A", TE("\0chunked"), body=END + EVIL)),
    refused("chunked with a soft hyphen", order("A", TE("chun\u00adked"), body=END + EVIL)),
    refused("an empty coding", order("A", TE(""), body=END + EVIL)),
    refused("chunked whose name has a space behind it", order("A", "Transfer-Encoding : chunked", body=END + EVIL)),
    refused("chunked on a folded line", order("A", "Transfer-Encoding:", " chunked", body=END + EVIL)),
    refused("chunked behind a bare carriage return", order("A", "X: y\rTransfer-Encoding: chunked", body=END + EVIL)),
    refused("chunked behind a bare line feed", order("A", "X: y\nTransfer-Encoding: chunked", body=END + EVIL)),
    taken("gzip and then chunked", order("A", TE("gzip, chunked"), body=END)),
    taken("chunked in capitals", order("A", TE("CHUNKED"), body=END) + B, "AB"),
    taken("a chunk that holds a request", order("A", CHUNKED, body=b"%x\r\n%s\r\n%s" % (len(EVIL), EVIL, END)) + B, "AB"),
    taken("a chunk extension", order("A", CHUNKED, body=b"5;a=b\r\nhello\r\n" + END) + B, "AB"),
    taken("a trailer", order("A", CHUNKED, body=b"0\r\nX: y\r\n\r\n") + B, "AB"),
    torn("a trailer that would be a length", order("A", CHUNKED, body=b"0\r\nContent-Length: 500\r\n\r\n") + EVIL),
    taken("a chunk extension of 100,000 characters", order("A", CHUNKED, body=b"0;" + b"a" * 100_000 + b"\r\n\r\n") + B, "AB"),
    refused("a trailer of 100,000 characters", order("A", CHUNKED, body=b"0\r\nX: " + b"a" * 100_000 + b"\r\n\r\n") + EVIL),
    refused("a coding that is none, and a length", order("A", TE(""), CL(len(EVIL)), body=EVIL)),
    refused("a length, and a coding that is none", order("A", CL(len(EVIL)), TE(""), body=EVIL)),
    refused("a coding of a tab", order("A", TE("\t"), CL(len(EVIL)), body=EVIL)),
    refused("a coding of a comma", order("A", TE(","), CL(len(EVIL)), body=EVIL)),
    refused("chunks in HTTP/1.0", order("A", CHUNKED, version="1.0", body=END)),
    refused("identity", order("A", TE("identity"))),
]
_BAD_CHUNKS = {
    "a negative size": b"-1\r\n" + EVIL,
    "a size with a sign": b"+0\r\n\r\n" + EVIL,
    "a size in 0x": b"0x0\r\n\r\n" + EVIL,
    "a size beyond 64 bits": b"1" + b"0" * 16 + b"\r\n" + EVIL,
    "a size of 8,000 digits": b"f" * 8000 + b"\r\n" + EVIL,
    "a size that is empty": b"\r\n" + EVIL,
    "a size with an underscore": b"0_0\r\n\r\n" + EVIL,
    "a size with a space before": b" 0\r\n\r\n" + EVIL,
    "a size with a space behind": b"0 \r\n\r\n" + EVIL,
    "a size that is too small": b"2\r\nhello\r\n" + END + EVIL,
    "a size that is too large": b"6\r\nhello\r\n" + END + EVIL,
    "a line feed behind the size": b"0\n\r\n" + EVIL,
    "a line feed behind the chunk": b"5\r\nhello\n" + END + EVIL,
    "a carriage return behind the size": b"0\r\r\n" + EVIL,
    "an extension with a line feed": b"0;\n\r\n" + EVIL,
    "an extension with a NUL": b"0;a=\0\r\n\r\n" + EVIL,
    "an extension that is a quote without end": b'0;a="\r\n\r\n' + EVIL,
    "a trailer that is none": b"0\r\nno colon\r\n\r\n" + EVIL,
    "a trailer with a NUL": b"0\r\nX: \0\r\n\r\n" + EVIL,
}
BODIES = [torn(f"a chunk with {id}", order("A", CHUNKED, body=body)) for id, body in _BAD_CHUNKS.items()]

LINES = [
    refused("a bare line feed behind the request line", b"GET %s HTTP/1.1\nHost: a\r\n\r\n" % TARGET.encode()),
    refused("a bare line feed behind a header", lines(f"GET {TARGET} HTTP/1.1", "Host: a\nX: y")),
    refused("bare line feeds at the end", b"GET %s HTTP/1.1\r\nHost: a\n\n" % TARGET.encode() + EVIL),
    refused("a bare carriage return behind the request line", b"GET %s HTTP/1.1\rHost: a\r\n\r\n" % TARGET.encode()),
    refused("a bare carriage return in a header", order("A", "X: a\rb")),
    refused("two carriage returns behind a header", order("A", "X: a\r")),
    refused("a folded header", order("A", "X: a", " b")),
    refused("a header that is folded with a tab", order("A", "X: a", "\tb")),
    refused("a folded first header", lines(f"GET {TARGET} HTTP/1.1", " X: y", HOST)),
    refused("a space before the colon", order("A", "X : y")),
    refused("a header without a name", order("A", ": y")),
    refused("a header without a colon", order("A", "X y")),
    refused("a header with a space in its name", order("A", "X Y: z")),
    refused("a header whose name is not ASCII", order("A", "X\u00fc: y")),
    refused("no Host", lines(f"GET {TARGET} HTTP/1.1", "X: y")),
    refused("two Hosts", order("A", HOST)),
    refused("an HTTP of another number", order("A", version="1.2")),
    refused("an HTTP with two digits", order("A", version="1.10")),
    refused("an HTTP with a space in it", order("A", version=" 1.1")),
    refused("another protocol", lines(f"GET {TARGET} HTTQ/1.1", HOST)),
    refused("a protocol in small letters", lines(f"GET {TARGET} http/1.1", HOST)),
    taken("two spaces before the protocol", lines(f"GET {TARGET}  HTTP/1.1", HOST)),
    taken("two spaces before the target", lines(f"GET  {TARGET} HTTP/1.1", HOST)),
    refused("a tab before the target", lines(f"GET\t{TARGET} HTTP/1.1", HOST)),
    refused("a space behind the protocol", lines(f"GET {TARGET} HTTP/1.1 ", HOST)),
    refused("a space before the method", b" " + A),
    refused("no target", lines("GET HTTP/1.1", HOST)),
    refused("no method", lines(f"{TARGET} HTTP/1.1", HOST)),
    refused("a method of 8,000 letters", order("A", method="G" * 8000)),
    refused("a byte order mark", b"\xef\xbb\xbf" + A),
    refused("TLS on the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)),
    refused("SSLv2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40)),
    refused("SOCKS", b"\x05\x01\x00"),
    refused("Redis", b"*1\r\n$4\r\nPING\r\n"),
    refused("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    refused("SMTP", b"HELO a.example\r\n"),
    refused("PROXY protocol, version 1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + A),
    refused("PROXY protocol, version 2", b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c" + bytes(12) + A),
    refused("an empty line and nothing", b"\r\n\0"),
    refused("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)),
    refused("NULs", bytes(1000)),
    *(refused(f"byte {n:02x} in the target", A.replace(b"order=A", b"order=A" + bytes([n]))) for n in (*range(10), 11, 12, *range(14, 32), 127)),
    *(refused(f"byte {n:02x} in a header's name", A.replace(b"Host", b"X%s: y\r\nHost" % bytes([n]))) for n in (*range(10), *range(11, 33), 127, 128, 255)),
    *(refused(f"byte {n:02x} in a header", A.replace(b"\r\n\r\n", b"\r\nX: a%sb\r\n\r\n" % bytes([n]))) for n in (*range(9), *range(10, 32), 127)),
    taken("a tab in a header", order("A", "X: a\tb")),
    taken("bytes above ASCII in a header", A.replace(b"\r\n\r\n", b"\r\nX: \x80\xfe\xff\xc0\x80\r\n\r\n")),
    taken("empty lines before a request", b"\r\n\r\n\r\n" + A),
    taken("empty lines between requests", A + b"\r\n\r\n" + B, "AB"),
]

TARGETS = [
    taken("a whole URL", request("http://track.example" + TARGET)),
    taken("a whole URL of another host", request("http://evil.example" + TARGET)),
    taken("a whole URL with userinfo", request("http://a:b@track.example" + TARGET)),
    taken("a whole URL with an IPv6 host", request("http://[::1]" + TARGET)),
    taken("a whole URL of another scheme", request("ftp://track.example" + TARGET)),
    refused("a whole URL with a port out of range", request("http://track.example:99999" + TARGET)),
    refused("a whole URL with a broken IPv6 host", request("http://[::1" + TARGET)),
    refused("a whole URL without a host", request("http://" + TARGET)),
    no_order("a whole URL without a path", request("http://track.example"), 404),
    no_order("a whole URL whose query has a path of ours", request("http://track.example?" + TARGET), 404),
    refused("a script", request("javascript:alert(1)")),
    refused("a host and a port", request("track.example:80")),
    refused("a backslash", request("\\t\\acme\\o.gif")),
    refused("a question mark", request("?order=A")),
    refused("a star", request("*")),
    no_order("OPTIONS of a star", request("*", method="OPTIONS"), 404),
    refused("OPTIONS of a star and more", request("*" + TARGET, method="OPTIONS")),
    no_order("two slashes", request("/" + TARGET), 404),
    no_order("two slashes and another host", request("//evil.example" + TARGET), 404),
    no_order("two slashes and a bracket", request("//[::1" + TARGET), 404),
    no_order("dots", request("/t/../t/acme/o.gif?order=A&amount=1"), 404),
    no_order("a lone percent sign", request("/%"), 404),
    no_order("an escaped NUL", request("/%00"), 404),
    no_order("a fragment is part of the last value", request(TARGET + "#"), 200),
    last("CONNECT", request("track.example:443", method="CONNECT") + EVIL, 404, ""),
    last("CONNECT to a path", request(TARGET, method="CONNECT") + EVIL, 404, ""),
    no_order("TRACE", request(TARGET, "Cookie: secret=1", method="TRACE"), 405),
    no_order("POST", order("A", CL(len(EVIL)), method="POST", body=EVIL), 405),
    no_order("PUT in chunks", order("A", CHUNKED, method="PUT", body=END) + B, 405, 200, orders="B"),
    no_order("a HEAD with a body", order("A", CL(len(EVIL)), method="HEAD", body=EVIL), 200),
    *(no_order(method, order("A", method=method), 405) for method in ("DELETE", "OPTIONS", "PATCH", "M-SEARCH", "QUERY", "LINK")),
    refused("PRI", request("*", method="PRI", version="2.0")),
    refused("HTTP/0.9", b"GET %s\r\n\r\n" % TARGET.encode()),
    refused("HTTP/0.9 and more", b"GET %s\r\n" % TARGET.encode() + EVIL),
    refused("HTTP/2.0 by its number", order("A", version="2.0")),
    last("HTTP/1.0", order("A", version="1.0")),
    taken("HTTP/1.0 that stays", order("A", "Connection: keep-alive", version="1.0")),
    last("HTTP/1.0, and more", order("A", version="1.0") + EVIL, 400, "", bytewise=((200,), "A")),
    last("close", order("A", "Connection: close")),
    last("close, and more", order("A", "Connection: close") + EVIL, 400, "", bytewise=((200,), "A")),
    last("close among others", order("A", "Connection: Host, close, keep-alive")),
    last("keep-alive and close", order("A", "Connection: keep-alive", "Connection: close")),
    last("an upgrade to h2c", order("A", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__") + EVIL),
    last("an upgrade to h2c, and a part of a request", order("A", "Connection: Upgrade", "Upgrade: h2c") + B[:20]),
    last("an upgrade to h2c in chunks", order("A", "Connection: Upgrade", "Upgrade: h2c", CHUNKED, body=END + EVIL)),
    last("an upgrade to WebSocket", order("A", "Connection: Upgrade", "Upgrade: websocket") + EVIL),
    last("an upgrade to WebSocket with a length", order("A", "Connection: Upgrade", "Upgrade: websocket", CL(len(EVIL)), body=EVIL) + EVIL),
    last("an upgrade to two things", order("A", "Connection: Upgrade", "Upgrade: h2c, websocket") + EVIL),
    taken("an upgrade without Connection", order("A", "Upgrade: websocket") + B, "AB"),
    refused("an upgrade to WebSocket of the oldest kind", order("A", "Sec-WebSocket-Key1: 1")),
    Attack("100-continue", order("A", "Expect: 100-continue") + B, (100, 200, 200, 404), "AB"),
    Attack("100-continue with a body", order("A", "Expect: 100-continue", CL(len(EVIL)), body=EVIL) + B, (100, 200, 200, 404), "AB"),
    no_order("another expectation", order("A", "Expect: 200-ok") + B, 417, 200, orders="B"),
    taken("a body that is not packed as it says", order("A", "Content-Encoding: gzip", CL(5), body=b"hello") + B, "AB"),
    taken("a thousand ranges", order("A", "Range: bytes=" + ",".join(["0-"] * 1000))),
    taken("a Host that is none", A.replace(b"track.example", b"a/b@[c:d?#")),
    taken("an empty Host", A.replace(b"track.example", b"")),
]

_LONG = "a" * 9000
SIZES = [
    refused("a target of 9,000 characters", request(TARGET + "&x=" + _LONG)),
    refused("a query of 100,000 parameters", request(TARGET + "&x" * 100_000)),
    refused("a header of 9,000 characters", order("A", "X: " + _LONG)),
    refused("a header's name of 9,000 characters", order("A", _LONG + ": y")),
    taken("a header behind 9,000 spaces", order("A", "X:" + " " * 9000 + "y")),
    refused("a header of 10 MB", order("A", "X: " + "a" * 10_000_000)),
    refused("10,000 headers", order("A", *(f"A{n}: b" for n in range(10_000)))),
    refused("1,000,000 headers", order("A", *(["A: b"] * 1_000_000))),
    refused("101 headers", order("A", *(["A: b"] * 100))),
    refused("headers of 40,000 bytes together", order("A", *["X: " + "a" * 4000] * 10)),
    refused("a method that goes on and on", b"G" * 100_000),
    refused("10,000 referral cookies in many headers", order("A", *["Cookie: pxref=a"] * 10_000)),
    taken("100 headers", order("A", *(["A: b"] * 99))),
    taken("headers of 30,000 bytes together", order("A", *["X: " + "a" * 4000] * 7)),
    taken("1,300 referral cookies in one header", order("A", "Cookie: " + ";".join(["pxref"] * 1300))),
    taken("8,000 parameters", request(TARGET + "&" * 8000)),
    taken("8,000 escapes in a label", request(TARGET + "&coupon=" + "%" * 8000)),
    taken("100 empty lines between requests", A + b"\r\n" * 100 + B, "AB"),
]
ATTACKS = [*LENGTHS, *CHUNKS, *BODIES, *LINES, *TARGETS, *SIZES]
