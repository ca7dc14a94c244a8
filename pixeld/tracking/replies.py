"""The bytes of every tracking reply, built at start; only a click's target and cookie are filled in later.

A reply is a status line with its headers, up to where the date belongs, and what comes after. Ordinary handlers send the same
headers in the same order, so that hot and cold replies are the same bytes but for their `Date`.
"""

from __future__ import annotations

from base64 import b64decode
from typing import NamedTuple

from pixeld.domain.events import Drop

GIF = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")  # 1×1, transparent, 43 bytes
RETRY_AFTER_S = 5

_200, _302, _404, _503 = (
    b"HTTP/1.1 %s\r\n" % line for line in (b"200 OK", b"302 Found", b"404 Not Found", b"503 Service Unavailable")
)
_OK, _SET_COOKIE, _RETRY = b"X-Pixeld: ok\r\n", b"Set-Cookie: ", b"Retry-After: %d\r\n" % RETRY_AFTER_S


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

    def instead(self, gif: Reply, reason: Drop, *, cookies: bool) -> Reply:
        """What is sent instead when the event is not stored: a visitor still reaches the shop, a GIF becomes
        `gif`. Cookies are set and deleted all the same, if `cookies`.
        """
        head = self.head
        if not cookies:
            head = b"".join(line for line in head.splitlines(keepends=True) if not line.startswith(_SET_COOKIE))
        if head.startswith(_302):
            return Reply(head.replace(_OK, _dropped(reason), 1), self.body)
        if _SET_COOKIE not in head:
            return gif
        lines = [line for line in head.splitlines(keepends=True) if line.startswith(_SET_COOKIE)]
        return Reply(gif.head + b"".join(lines), gif.body)


# What to send; the encoded event (of an order, maybe two) that is to be stored first, or None; and what it is counted as: its
# kind, and a Quality, a Verdict that refused it, a Drop, or OK. Plain, because to make and to drop a named one takes 0.15 µs
# longer.
Answer = tuple[Reply, bytes | None, tuple[str, str]]
OK = "ok"


class Replies:
    """Every reply there is. `p3p` is the P3P header's value, or None when P3P is off."""

    __slots__ = ("_common", "_gif", "dropped", "no_client", "no_path", "no_registry", "ok", "unavailable")

    def __init__(self, p3p: str | None) -> None:
        policy = f"P3P: {p3p}\r\n".encode() if p3p else b""
        self._common = policy + b"Cache-Control: no-store\r\n"
        self._gif = (
            self._common + b"Cross-Origin-Resource-Policy: cross-origin\r\n"
            b"Content-Type: image/gif\r\nContent-Length: %d\r\n" % len(GIF)
        )
        self.ok = Reply(_200 + _OK + self._gif, GIF)
        #: The GIF all the same, by why its event is not stored.
        self.dropped = {why: Reply(_200 + _dropped(why) + self._gif, GIF) for why in Drop}
        #: The GIF with a 503: the event could not be made durable.
        self.unavailable = {why: Reply(_503 + _dropped(why) + _RETRY + self._gif, GIF) for why in Drop}
        #: A few words instead of a redirect that cannot be given.
        self.no_client = self._text(_404 + _dropped(Drop.UNKNOWN_CLIENT), "There is no such client.")
        self.no_path = self._text(_404 + _dropped(Drop.BAD_PATH), "There is no such tracking address.")
        self.no_registry = self._text(_503 + _dropped(Drop.NOT_READY) + _RETRY, "Starting; please try again.")

    def gif_with_cookie(self, cookie: tuple[str, str]) -> tuple[bytes, bytes]:
        """The head of a GIF that sets a cookie: what stands before the cookie's value and after it."""
        before, after = cookie
        return _200 + _OK + _SET_COOKIE + before.encode(), f"{after}\r\n".encode() + self._gif

    def redirect_parts(self, cookie: tuple[str, str]) -> tuple[str, str, str]:
        """A redirect's head: what stands before the target, between target and cookie value, and after it."""
        before, after = cookie
        tail = (
            self._common + b"Referrer-Policy: strict-origin-when-cross-origin\r\n"
            b"X-Robots-Tag: noindex, nofollow\r\nContent-Length: 0\r\n"
        )
        head = _302 + _OK + b"Location: "
        return head.decode(), f"\r\n{_SET_COOKIE.decode()}{before}", f"{after}\r\n{tail.decode()}"

    @staticmethod
    def without_cookie(parts: tuple[str, str, str]) -> tuple[str, str]:
        """The same redirect without a cookie: what stands before the target and after it."""
        before, _, after = parts
        return before, after[after.index("\r\n") :]

    def _text(self, head: bytes, text: str) -> Reply:
        body = text.encode() + b"\n"
        return Reply(
            b"%s%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % (head, self._common, len(body)), body
        )


def _dropped(reason: Drop) -> bytes:
    """The header that says why an event is not stored."""
    return f"X-Pixeld: dropped; reason={reason}\r\n".encode()
