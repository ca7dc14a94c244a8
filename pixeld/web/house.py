"""The house: everything on the public listener that isn't tracking. The home page, the portal, the tenants' API: its rooms;
and the visitors' own pages, which are there without any of these.

It is one application. Without workers it is the public one itself, to which tracking is added. With workers the office has it
behind a unix socket, and workers hand on to it what they don't know (`handon`): its handlers run in one process either way.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from multidict import istr

from pixeld.web.origin import Origin

BODY_BYTES = 65_536  # of a form, or of a request to the API
TOLD_ADDRESS = istr("X-Pixeld-Address")  # from a worker to the house; nobody else's is believed, or gets that far
_ADDRESS: web.AppKey[Callable[[web.Request], str]] = web.AppKey("address")


def application(origin: Origin | None) -> web.Application:
    """An empty house, to mount rooms in. `origin` finds where visitors are; None when workers do and tell it."""
    app = web.Application(client_max_size=BODY_BYTES)
    app[_ADDRESS] = _told if origin is None else lambda request: visitor(origin, request)
    return app


def address(request: web.Request) -> str:
    """The visitor's address, for a handler of the house or of a room in it; empty when nobody knows it."""
    return request.config_dict[_ADDRESS](request)


def visitor(origin: Origin, request: web.Request) -> str:
    """The address from which a request has come to this very process, or which a trusted proxy tells."""
    headers = request.headers
    peer = origin.peer(request.protocol.peername)
    return origin.of(peer, origin.forwarded(headers), origin.told(headers))[0]


def _told(request: web.Request) -> str:
    return request.headers.get(TOLD_ADDRESS, "")
