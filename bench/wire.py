"""A server's door, and what it says: connecting, with errors for people, and the heads of its replies."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

_CONNECT_S = 10.0
_KNOWN = 64  # heads that are remembered: pixels' are the same for a whole second, and a look costs a tenth of reading one
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_SAID = re.compile(rb"\r\nx-pixeld: *(ok|dropped; reason=([a-z_]+))", re.I)
_COOKIE = re.compile(rb"\r\nset-cookie: *([^;\r]+)", re.I)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.I)


class LoadError(Exception):
    """The load could not be made; the message is for people."""


class Reply(NamedTuple):
    """The head of one reply. `said` is `ok`, why the event was dropped, or empty where there is no X-Pixeld."""

    status: int
    said: str
    body: int
    cookie: str
    last: bool


class Heads:
    """Reads heads of replies."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Reply] = {}

    def read(self, head: bytes) -> Reply | None:
        """A head, without the empty line behind it; None for what is no reply that tells its length."""
        found = self._known.get(head)
        if found is not None:
            return found
        status, length = _HEAD.match(head), _LENGTH.search(head)
        if status is None or length is None:
            return None
        said, cookie = _SAID.search(head), _COOKIE.search(head)
        text = "" if said is None else (said[2] or said[1]).decode().lower()
        cookie_text = cookie[1].decode("latin-1") if cookie else ""
        found = Reply(int(status[1]), text, int(length[1]), cookie_text, _CLOSE.search(head) is not None)
        if cookie is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[head] = found
        return found


@dataclass(frozen=True)
class Door:
    """Where a server listens."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def netloc(self) -> str:
        """Host and port as a browser writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """As a person writes it."""
        return f"{'https' if self.tls else 'http'}://{self.netloc}"

    def check(self) -> None:
        """Connect once and leave. LoadError says why that is impossible."""
        # By Python's own TLS: uvloop prints a traceback for every handshake that fails.
        try:
            with socket.create_connection((self.host, self.port), _CONNECT_S) as plain:
                if self.tls is not None:
                    self.tls.wrap_socket(plain, server_hostname=self.host).close()
        except OSError as error:
            raise LoadError(self.why(error)) from None

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """One connection. OSError when there is none."""
        name = self.host if self.tls else None
        await asyncio.get_running_loop().create_connection(protocol, self.host, self.port, ssl=self.tls, server_hostname=name)

    def why(self, error: BaseException) -> str:
        """What a failure to connect means."""
        if isinstance(error, ConnectionRefusedError):
            return f"nothing listens at {self.url}; start a server with `pixeld serve`, or say with --url where it is"
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {self.url} is not accepted ({error.verify_message}); name its authority's file with --ca"
            )
        if isinstance(error, ssl.SSLError):
            return f"TLS with {self.url} does not work ({error.reason}); is it http?"
        if isinstance(error, TimeoutError):
            return f"{self.url} does not take connections in time"
        return f"cannot connect to {self.url}: {getattr(error, 'strerror', None) or error}"
