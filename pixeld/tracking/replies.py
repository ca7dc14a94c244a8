"""The bytes of every tracking reply, built at start; only a click's target and cookie are filled in later.

A reply is a status line with its headers, up to where the date belongs, and what comes after. Ordinary handlers send the same
headers in the same order, so that hot and cold replies are the same bytes but for their `Date`.
"""

from __future__ import annotations

from base64 import b64decode
from typing import NamedTuple

GIF = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")  # 1×1, transparent, 43 bytes
RETRY_AFTER_S = 5

_OK, _SET_COOKIE = b"X-Pixeld: ok\r\n", b"Set-Cookie: "


class Reply(NamedTuple):
    """`head` ends after its last header's line break; `Date` and an empty line follow it, then `body`."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.head[9:12])

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values in order."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-1]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def setting(self, cookie: str) -> Reply:
        """This reply, with one `Set-Cookie` header more."""
        return Reply(b"%s%s%s\r\n" % (self.head, _SET_COOKIE, cookie.encode()), self.body)


def dropped(reason: str) -> bytes:
    """The header that says why an event is not stored."""
    return f"X-Pixeld: dropped; reason={reason}\r\n".encode()


class Replies:
    """Every reply there is. `p3p` is the P3P header's value, or None when P3P is off."""

    __slots__ = ("_common", "_gif", "ok")

    def __init__(self, p3p: str | None) -> None:
        policy = f"P3P: {p3p}\r\n".encode() if p3p else b""
        self._common = policy + b"Cache-Control: no-store\r\n"
        self._gif = (
            self._common + b"Cross-Origin-Resource-Policy: cross-origin\r\n"
            b"Content-Type: image/gif\r\nContent-Length: %d\r\n" % len(GIF)
        )
        self.ok = Reply(b"HTTP/1.1 200 OK\r\n" + _OK + self._gif, GIF)

    def gif_dropped(self, reason: str) -> Reply:
        """The GIF all the same, and why its event is not stored."""
        return Reply(b"HTTP/1.1 200 OK\r\n" + dropped(reason) + self._gif, GIF)

    def gif_unavailable(self, reason: str) -> Reply:
        """The GIF with a 503: the event could not be made durable."""
        retry = b"Retry-After: %d\r\n" % RETRY_AFTER_S
        return Reply(b"HTTP/1.1 503 Service Unavailable\r\n" + dropped(reason) + retry + self._gif, GIF)

    def gif_with_cookie(self, cookie: tuple[str, str]) -> tuple[bytes, bytes]:
        """The head of a GIF that sets a cookie: what stands before the cookie's value and after it."""
        before, after = cookie
        return b"HTTP/1.1 200 OK\r\n" + _OK + _SET_COOKIE + before.encode(), f"{after}\r\n".encode() + self._gif

    def text(self, status: bytes, reason: str, text: str) -> Reply:
        """A few words instead of a redirect that cannot be given."""
        body = text.encode() + b"\n"
        retry = b"Retry-After: %d\r\n" % RETRY_AFTER_S if status.startswith(b"503") else b""
        return Reply(
            b"HTTP/1.1 %s\r\n%s%s%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            % (status, dropped(reason), retry, self._common, len(body)),
            body,
        )

    def redirect_parts(self, cookie: tuple[str, str]) -> tuple[bytes, bytes, bytes]:
        """What stands before the target, between target and cookie value, and after it."""
        before, after = cookie
        tail = (
            self._common + b"Referrer-Policy: strict-origin-when-cross-origin\r\n"
            b"X-Robots-Tag: noindex, nofollow\r\nContent-Length: 0\r\n"
        )
        return (
            b"HTTP/1.1 302 Found\r\n" + _OK + b"Location: ",
            b"\r\n" + _SET_COOKIE + before.encode(),
            f"{after}\r\n".encode() + tail,
        )

    @staticmethod
    def without_cookie(parts: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes]:
        """The same redirect without a cookie: what stands before the target and after it."""
        before, _, after = parts
        return before, after[after.index(b"\r\n") :]

    @staticmethod
    def not_durable(reply: Reply, unavailable: Reply, reason: bytes, *, cookies: bool = True) -> Reply:
        """What is sent instead of `reply` when its event could not be stored: a visitor still reaches the shop, a GIF
        is a 503. Cookies are set and deleted all the same, if `cookies`.
        """
        head = reply.head
        if not cookies:
            head = b"".join(line for line in head.splitlines(keepends=True) if not line.startswith(_SET_COOKIE))
        if head.startswith(b"HTTP/1.1 302"):
            return Reply(head.replace(_OK, reason, 1), reply.body)
        if _SET_COOKIE not in head:
            return unavailable
        lines = [line for line in head.splitlines(keepends=True) if line.startswith(_SET_COOKIE)]
        return Reply(unavailable.head + b"".join(lines), unavailable.body)
