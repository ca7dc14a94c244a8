"""The admin API of a running server, as its thin clients see it.

Python's own HTTP client, for three reasons: it is there, it follows no redirect (which would carry the token elsewhere), and
it knows no proxy (to which a loopback address means nothing).
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import click

from pixeld.cli import Refused, Unreachable
from pixeld.errors import SettingsError
from pixeld.settings import Settings

_CONNECT_S = 5.0
_ANSWER_S = 180.0  # a report over years; a flush of a full queue; an erasure, for which ClickHouse rewrites a table
_PIECE = 64 << 10


class Server:
    """One running pixeld: the one at `url`, else where the settings say. Nothing is sent before the first call.

    Every call raises Unreachable when nobody answers, Refused when the server says no.
    """

    def __init__(self, settings: Settings, url: str | None = None) -> None:
        self.settings = settings
        self.url = (url or _admin_url(settings)).rstrip("/")
        self._parts = _parts(self.url)
        self._token, self._no_token = _token(settings)

    def get(self, *path: str, **query: str | int | None) -> Any:
        """What is at a path; its parts may hold any character, and a query value of None is left out."""
        return self._value(self._ask("GET", path, query))

    def get_csv(self, *path: str, **query: str | int | None) -> str:
        """A report as CSV."""
        return self._ask("GET", path, query | {"format": "csv"}).decode()

    def post(self, *path: str, body: Any = None) -> Any:
        """Make something, or have something done."""
        return self._value(self._ask("POST", path, body=body))

    def pieces(self, *path: str, body: Any) -> Iterator[bytes]:
        """An answer of any size, piece by piece. Unreachable when it breaks off."""
        with self._open("POST", path, body=body) as response:
            try:
                while piece := response.read(_PIECE):
                    yield piece
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(self._silent(error)) from error

    def patch(self, *path: str, body: Any) -> Any:
        """Change some fields."""
        return self._value(self._ask("PATCH", path, body=body))

    def put(self, *path: str, body: Any) -> Any:
        """Set something."""
        return self._value(self._ask("PUT", path, body=body))

    def lines(self, *path: str) -> Iterator[bytes]:
        """The lines of an answer that never ends, as they come; empty ones, which only keep the line open, are left out."""
        with self._open("GET", path, endless=True) as response:
            try:
                for line in response:
                    if line.strip():
                        yield line
            except (OSError, http.client.HTTPException):
                pass  # told below: to the reader, an end and a break are the same
        raise Unreachable(f"the stream from {self.url} ended: the server was stopped, or the connection broke")

    def _ask(
        self, method: str, path: tuple[str, ...], query: Mapping[str, str | int | None] | None = None, body: Any = None
    ) -> bytes:
        with self._open(method, path, query, body) as response:
            try:
                return response.read()
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(self._silent(error)) from error

    def _open(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str | int | None] | None = None,
        body: Any = None,
        *,
        endless: bool = False,
    ) -> http.client.HTTPResponse:
        """The answer, its body not read yet. Closing it closes the connection."""
        target = self._parts.path + "/api/" + "/".join(quote(part, safe="") for part in path)
        if given := {name.rstrip("_"): value for name, value in (query or {}).items() if value is not None}:
            target += "?" + urlencode(given)
        headers = {"Accept": "application/json", "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        host, port = self._parts.hostname or "", self._parts.port
        connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_S)
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=_CONNECT_S, context=_trust(self.settings))
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(self._nobody(error)) from error
        sock = connection.sock
        try:
            sock.settimeout(_ANSWER_S)
            connection.request(method, target, data, headers)
            response = connection.getresponse()
            if response.status >= 400:
                with response:
                    self._refuse(response.status, response.read())
            if endless:  # silence is no fault there; a peer that is gone is found by probing
                sock.settimeout(None)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(self._silent(error)) from error
        return response

    def _nobody(self, error: OSError) -> str:
        if isinstance(error, ConnectionRefusedError):
            why = "nothing listens there"
        elif isinstance(error, socket.gaierror):
            why = "that host name is not known"
        elif isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"what answers at {self.url} has a certificate that isn't trusted: {error.verify_message}. Name the file "
                "of that, or of its authority's, with PIXELD_ADMIN_TLS_CA; or say with --url the host name that it is for"
            )
        elif isinstance(error, ssl.SSLError):
            why = f"it speaks no TLS that is understood here ({error.reason})"
        else:
            why = error.strerror or str(error)
        return (
            f"no server answers at {self.url}: {why}. Start one with `pixeld demo` or `pixeld serve`, "
            "or say with --url (or PIXELD_ADMIN_HOST and PIXELD_ADMIN_PORT) where it is"
        )

    def _silent(self, error: Exception) -> str:
        why = "not in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return f"the server at {self.url} was asked and did not answer ({why}); it is not known whether it did what was asked"

    def _refuse(self, status: int, body: bytes) -> NoReturn:
        problem = self._value(body)
        if not isinstance(problem, dict) or "code" not in problem:
            raise self._stranger()
        if status == HTTPStatus.UNAUTHORIZED and self._no_token:
            problem["detail"] = self._no_token
        raise Refused(problem)

    def _value(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise self._stranger() from None

    def _stranger(self) -> Unreachable:
        return Unreachable(f"what answers at {self.url} is not pixeld's admin API; say with --url where that is")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise click.UsageError(f"--url is {url!r}; it must be like http://127.0.0.1:8001")


def _admin_url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.admin_host, settings.admin_host)  # noqa: S104 - not a bind
    if settings.admin_port == 0:
        raise click.UsageError("admin_port is 0, so that the server took any free port; say with --url which one")
    scheme = "https" if settings.admin_tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.admin_port}"


def _trust(settings: Settings) -> ssl.SSLContext:
    """What the system trusts, and `admin_tls_ca`: an authority's certificate, or the admin listener's own."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.admin_tls_ca is not None:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may have been signed by somebody else
        try:
            context.load_verify_locations(settings.admin_tls_ca)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"admin_tls_ca {settings.admin_tls_ca} cannot be used: {error}") from error
    return context


def _token(settings: Settings) -> tuple[str | None, str]:
    """The admin token, or None and what to tell if the server asks for it."""
    path = Path(settings.data_dir) / "admin-token"
    where = "Give the server's data directory with --data-dir, or its token as PIXELD_ADMIN_TOKEN"
    if settings.admin_token:
        return settings.admin_token, ""
    try:
        return path.read_text("utf-8").strip() or None, f"the admin token file {path} is empty. {where}"
    except FileNotFoundError:
        return None, f"the server asks for its admin token, and there is no file {path}. {where}"
    except (OSError, UnicodeDecodeError) as error:
        return None, f"the admin token cannot be read from {path}: {getattr(error, 'strerror', None) or error}. {where}"
