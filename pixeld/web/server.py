"""Listeners: sockets, TLS, limits, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError

from pixeld.errors import SettingsError
from pixeld.settings import Settings
from pixeld.web.certificates import Certificate
from pixeld.web.desk import Desk
from pixeld.web.fastpath import ColdRequestHandler
from pixeld.web.guard import Room, Rules
from pixeld.web.plain import PlainRequestHandler
from pixeld.web.recogniser import Recogniser

log = logging.getLogger(__name__)
BACKLOG = 4096  # connections that the kernel holds until they are accepted; it cuts this to net.core.somaxconn, mostly 4096
_NO_REQUEST = "This is no request that can be understood.\n"
_OTHER_FILES = 256  # open files besides peers: Redis, ClickHouse, the spill, the engine's parts
_ADMIN_CONNECTIONS, _ADMIN_REQUEST_S, _ADMIN_REQUEST_BYTES = 1000, 60.0, 65_536
_DRAIN_SHARE = 1 / 4  # of shutdown_s: replies may take as long to leave once, ordinary handlers to finish twice


class Listener:
    """An application that listens."""

    __slots__ = ("_runner", "_server")

    def __init__(self, runner: web.AppRunner, server: asyncio.AbstractServer) -> None:
        self._runner, self._server = runner, server

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._runner.server.connections) if self._runner.server else 0

    async def stop(self) -> None:
        """Accept nobody any more, send what is owed, close, and clean the application up.

        Whatever makes events durable must run until this returns.
        """
        self._server.close()
        await self._runner.cleanup()


def bind(host: str, port: int, *, shared: bool = False, prefix: str = "") -> socket.socket:
    """A socket of its own for this address, which does not listen yet. SettingsError when it cannot be had, which names the
    flags that choose another; theirs begin with `prefix`.

    A `shared` one may be bound again by whoever else calls it shared; the kernel spreads connections over all that listen.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)  # of localhost's two
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart needn't wait for TIME_WAIT to end
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise _cannot_listen(host, port, error, prefix) from error
    return bound


def reserve(host: str, port: int) -> socket.socket:
    """A socket that never listens and keeps this address for our own processes, which may bind it `shared`; as `bind`."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise SettingsError("workers share a port by SO_REUSEPORT, which this system lacks; leave workers at 0")
    bind(host, port).close()  # a server that shares the port with its own processes would share it with ours too
    return bind(host, port, shared=True)


def bind_unix(path: Path) -> socket.socket:
    """A unix socket at this path, which only this user's processes can reach, and which does not listen yet. What an earlier
    process has left there goes.
    """
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)  # nobody can have connected so far: it does not listen
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Whether only this machine reaches this address."""
    return ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def _cannot_listen(host: str, port: int, error: OSError, prefix: str = "") -> SettingsError:
    flags = f"--{prefix}host or --{prefix}port"
    return SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with {flags}")


async def listen(
    app: web.Application, bound: socket.socket, desk: Desk, settings: Settings, certificate: Certificate | None = None
) -> Listener:
    """The public listener."""
    limits = {
        "max_line_size": settings.max_url_bytes,
        "max_field_size": settings.max_header_bytes,
        "max_headers": settings.max_headers,
    }
    make: Callable[..., web.RequestHandler] = _Cold
    if settings.fast_path:
        recogniser = Recogniser(desk.origin, asyncio.get_running_loop(), max_bytes=settings.max_request_bytes, **limits)
        make = partial(_Hot, desk=desk, recogniser=recogniser)
    # The kernel's own clock for peers that take nothing of what they are sent; inherited by every connection.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.keepalive_s * 1000))
    return await _listen(
        app,
        bound,
        make,
        certificate,
        settings.shutdown_s * _DRAIN_SHARE,
        rules=Rules(
            Room(_affordable(settings.max_connections), desk.metrics.add),
            settings.request_s,
            settings.max_request_bytes,
            desk.metrics.add,
        ),
        **limits,
        keepalive_timeout=settings.keepalive_s,
        lingering_time=settings.request_s,
    )


async def listen_plainly(app: web.Application, bound: socket.socket, certificate: Certificate | None = None) -> Listener:
    """A listener without fast path or settings of its own: the admin's, and the house's for workers."""
    rules = Rules(Room(_ADMIN_CONNECTIONS, _uncounted), _ADMIN_REQUEST_S, _ADMIN_REQUEST_BYTES, _uncounted)
    return await _listen(app, bound, _Cold, certificate, 2.0, rules=rules)


def _uncounted(_: str) -> None: ...


def _affordable(connections: int) -> int:
    """So many connections, or what the limit of open files leaves of them; that limit is raised as far as it may be.

    Past it not only peers would be turned away: the spill could not open its next segment, and Redis not be reached again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            log.warning("fewer connections than max_connections: raise the limit of open files", extra={"open_files": soft})
            return max(soft - _OTHER_FILES, 1)
    return connections


async def _listen(
    app: web.Application,
    bound: socket.socket,
    make: Callable[..., web.RequestHandler],
    certificate: Certificate | None,
    drain_s: float,
    **limits: Any,
) -> Listener:
    try:
        bound.listen(BACKLOG)  # uvloop's create_server says nothing when this fails, and then nobody listens
    except OSError as error:
        host, port, *_ = bound.getsockname()
        raise _cannot_listen(host, port, error) from error
    # No site of aiohttp's: those make plain connections only, and forget all limits, with a warning, when one is misspelt.
    runner = web.AppRunner(app, shutdown_timeout=drain_s)
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    # A log line would hold an address. Nobody here reads a compressed body, and unpacking one is work of a peer's choice.
    connection = partial(make, runner.server, loop=loop, access_log=None, auto_decompress=False, **limits)
    if bound.family == socket.AF_UNIX:
        return Listener(runner, await loop.create_unix_server(connection, sock=bound, backlog=BACKLOG))
    tls = certificate.context if certificate else None
    patience = {"ssl_handshake_timeout": limits["rules"].request_s} if tls else {}
    return Listener(runner, await loop.create_server(connection, sock=bound, ssl=tls, backlog=BACKLOG, **patience))


class _Cold(ColdRequestHandler):
    """A connection that tells peers no version of aiohttp and nothing of what they sent, and the log no peer's address.

    Without a place for it, it ends before anything is made for it.
    """

    __slots__ = ()

    @property
    def quiet(self) -> bool:
        """See Connection."""
        return self.idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As the base class, if there is room."""
        if self.guard.enter():
            super().connection_made(transport)
        else:
            cast(asyncio.Transport, transport).abort()  # uvloop's is no subclass

    def connection_lost(self, exc: BaseException | None) -> None:
        """As the base class."""
        self.guard.leave()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """As the base class; that would quote what it cannot parse, and fill in its own `Server`, where no signal reaches."""
        if message is not None:  # at level debug the base class would log who sent it, and a part of it
            exc, message = HttpProcessingError(), _NO_REQUEST
        response = super().handle_error(request, status, exc, message)
        response.headers[hdrs.SERVER] = "pixeld"
        return response

    def log_exception(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log an error of ours. What a peer garbles is none of them, and `args` is its address."""
        if not isinstance(exc_info, HttpProcessingError):
            self.logger.error("Error handling a request" if args else message, exc_info=exc_info)


class _Hot(_Cold, PlainRequestHandler):
    __slots__ = ()

    @property
    def quiet(self) -> bool:
        """See Connection."""
        return self.idle and not self.waiting and not self.reading_held
