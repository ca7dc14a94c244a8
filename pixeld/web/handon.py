"""What a worker doesn't know it hands on to the office, over a unix socket that only the two use, and hands back the reply.

Requests are read whole first, so that a slow visitor keeps nobody in the office waiting; replies are passed on as they come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from pixeld.web.house import BODY_BYTES, TOLD_ADDRESS, visitor
from pixeld.web.origin import Origin
from pixeld.web.responses import Handler, problem

CONNECTIONS = 64  #: most that one worker has to the office at once; who comes on top of that waits for one
_CONNECT_S = 5.0  # for one of those: then the office is busy, or away
_ANSWER_S = 60.0  # between any two pieces of an answer; a report over years
_KEEP_S = 15.0  # an idle one; the office itself would close it later, so that none closes under a request
# Of one connection (RFC 9110 §7.6.1), or settled anew on the next one.
_HOP_BY_HOP = frozenset(
    ("connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade")
)
_AWAY = "This page cannot be shown at the moment. Nothing is lost: please try again in a few seconds."
_PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>One moment</title></head>
<body><main><h1>One moment</h1><p>{_AWAY}</p></main></body>
</html>
"""
_OFFICE: web.AppKey[aiohttp.ClientSession] = web.AppKey("office", aiohttp.ClientSession)


def application(socket: Path, origin: Origin) -> web.Application:
    """A worker's public application: what has no route in it is asked of the office at `socket`."""

    @web.middleware
    async def hand_on(request: web.Request, handler: Handler) -> web.StreamResponse:
        if isinstance(request.match_info.http_exception, web.HTTPNotFound):
            return await _ask(request, visitor(origin, request))
        return await handler(request)

    async def office(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket), limit=CONNECTIONS, keepalive_timeout=_KEEP_S),
            cookie_jar=aiohttp.DummyCookieJar(),  # one visitor's are no other's
            auto_decompress=False,
            skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT),
            timeout=aiohttp.ClientTimeout(connect=_CONNECT_S, sock_read=_ANSWER_S),
        ) as session:
            app[_OFFICE] = session
            yield

    app = web.Application(middlewares=[hand_on], client_max_size=BODY_BYTES)
    app.cleanup_ctx.append(office)
    return app


async def _ask(request: web.Request, address: str) -> web.StreamResponse:
    body = await request.read()
    headers = _end_to_end(request.headers)
    headers[TOLD_ADDRESS] = address
    response = None
    try:
        async with request.app[_OFFICE].request(
            request.method, _url(request), headers=headers, data=body or None, allow_redirects=False
        ) as said:
            response = web.StreamResponse(status=said.status, reason=said.reason, headers=_end_to_end(said.headers))
            if hdrs.CONTENT_LENGTH in said.headers:
                response.headers[hdrs.CONTENT_LENGTH] = said.headers[hdrs.CONTENT_LENGTH]
            await response.prepare(request)
            async for piece in said.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response
    except (aiohttp.ClientError, TimeoutError):
        if response is None:
            return _away(request)
        request.protocol.force_close()  # half a reply must not look like a whole one; or it is the visitor who is gone
        return response


def _url(request: web.Request) -> URL:
    """The request's target, as it came; the parser has let ASCII through only."""
    target = request.raw_path
    if not target.startswith("/"):  # "GET http://host/path", see tracking.handle
        target = request.rel_url.raw_path_qs
    return URL(f"http://office{target}", encoded=True)


def _end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Headers without those of one connection. Bytes in a value that are no UTF-8 are lost: aiohttp doesn't send them."""
    named = {name.strip().lower() for value in headers.getall(hdrs.CONNECTION, ()) for name in value.split(",")}
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _away(request: web.Request) -> web.Response:
    if request.path.startswith("/api/"):
        return problem(503, "unavailable", "the part of this server that answers this is away; try again in a few seconds")
    headers = {hdrs.RETRY_AFTER: "5", hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=503, text=_PAGE, content_type="text/html", headers=headers)
