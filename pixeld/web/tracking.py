"""The ordinary handlers of `/t/…`: HEAD, other dialects of HTTP than hot ones, and everything when the fast path is off.

Same desk, same headers in the same order as on the fast path, so that the switch changes speed and never bytes.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from pixeld.tracking.paths import PAGE, PREFIX
from pixeld.web.desk import Case, Desk
from pixeld.web.responses import without_server

DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)


def add_routes(app: web.Application, desk: Desk) -> None:
    """Add the tracking addresses to the public application. Other methods than GET and HEAD get aiohttp's 405 with `Allow`."""
    app[DESK] = desk
    if without_server not in app.on_response_prepare:
        app.on_response_prepare.append(without_server)
    pages = rf"(?!{PAGE.removeprefix(PREFIX)}\Z)"  # of the house: a worker has no route for them, and hands them on
    app.router.add_get(rf"/t/{{tail:{pages}[\s\S]*}}", handle, allow_head=True)  # not ".*", which leaves %0a to aiohttp's 404


async def handle(request: web.Request) -> web.Response:
    """Reply when the event is durable, or with what is said instead when it cannot be."""
    desk = request.app[DESK]
    known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def release() -> None:
        if not known.done():  # cancelled with its handler, when shutting down takes too long
            known.set_result(None)

    case = Case(desk, release)
    target = request.raw_path
    if not target.startswith("/"):  # "GET http://host/path", which RFC 9112 §3.2.2 wants understood
        target = request.rel_url.raw_path_qs
    desk.take_parsed(case, request.method, target, request.headers, desk.origin.peer(request.protocol.peername))
    if case.reply is None:
        await known
    assert case.reply is not None
    date = desk.date_line.decode().strip().partition(": ")
    headers = [*case.reply.headers, (date[0], date[2])]
    return web.Response(status=case.reply.status, headers=headers, body=case.reply.body)
