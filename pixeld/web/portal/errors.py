"""Errors as pages: what happened, why, what to do. What is our own fault is logged and not told."""

from __future__ import annotations

import logging
from typing import NamedTuple

from aiohttp import hdrs, web

from pixeld.errors import PixeldError, QueueAway
from pixeld.web.portal import keys, sessions
from pixeld.web.portal import pages as rendering

log = logging.getLogger(__name__)


class _Said(NamedTuple):
    title: str
    text: str = ""


_PAGES = {
    400: _Said("This request cannot be used"),
    401: _Said("Please log in"),
    403: _Said("This is not yours to change"),
    404: _Said("There is no such page", "The address may be mistyped, or what it led to is gone."),
    405: _Said("This address takes no such request", "Go back to the page before, and use its buttons."),
    409: _Said("Somebody else was faster"),
    413: _Said("That is too much at once", "Shorten what you sent, and try again."),
    415: _Said("This request cannot be used", "Forms are taken as browsers send them."),
    429: _Said("Too many attempts"),
    500: _Said("Something went wrong on our side", "It has been written down for those who run this server. Try again later."),
    503: _Said("This page cannot be shown right now"),
}


@web.middleware
async def pages(request: web.Request, handler: rendering.Handler) -> web.StreamResponse:
    """Every error of a handler becomes a page of its status."""
    try:
        return await handler(request)
    except PixeldError as error:
        if error.status == 500:
            log.exception("a page failed", extra={"route": getattr(request.match_info.route.resource, "canonical", None)})
            return await _page(request, 500, "")
        response = await _page(request, error.status, str(error))
        retry_s = getattr(error, "retry_s", 5 if error.status == 503 else None)
        if retry_s is not None:
            response.headers[hdrs.RETRY_AFTER] = str(max(1, round(retry_s)))
        return response
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = await _page(request, error.status, "")
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    except Exception:
        log.exception("a page failed", extra={"route": getattr(request.match_info.route.resource, "canonical", None)})
        return await _page(request, 500, "")


async def _page(request: web.Request, status: int, text: str) -> web.Response:
    said = _PAGES.get(status, _PAGES[400])
    try:
        await sessions.find(request, request.app[keys.SESSIONS])  # so that the menu is there
    except QueueAway:
        request[keys.SESSION] = None
    return rendering.page(request, "error.html", status=status, title=said.title, text=said.text or text, code=status)
