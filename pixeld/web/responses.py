"""JSON out, at once or piece by piece, JSON in, and errors as `application/problem+json` (RFC 9457) with a stable `code`."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import hdrs, web

from pixeld.errors import BadInput, PixeldError

log = logging.getLogger(__name__)
_RETRY_S = 5.0  # a dependency that is away mostly comes back within some seconds
_DETAILS = {404: "there is nothing at this address", 405: "this address takes other methods only:"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json(value: Any, status: int = 200) -> web.Response:
    """A JSON response, with a line break at its end for those who read it in a terminal."""
    body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json", headers={"Cache-Control": "no-store"})


async def stream(request: web.Request, pieces: AsyncGenerator[bytes, None], content_type: str) -> web.StreamResponse:
    """Send pieces as they come, until they or the peer are gone; an empty one only looks after the peer.

    What goes wrong now can't be told any more: it stands in the log, and the connection is cut, so that half a reply doesn't
    look like a whole one.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-store"})
    await response.prepare(request)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if request.transport is None or request.transport.is_closing():
                    break
                if piece:
                    await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        pass  # the peer is gone
    except PixeldError as error:
        log.warning("a reply breaks off", extra={"reason": str(error)})
        request.protocol.force_close()
    except Exception:
        log.exception("a reply breaks off")
        request.protocol.force_close()
    return response


async def body(request: web.Request) -> Any:
    """The request's JSON body. BadInput when it isn't one."""
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from None


async def fields(request: web.Request, **types: type) -> dict[str, Any]:
    """The fields of the JSON object that is the request's body, of these types; a text or a switch that is left out is empty
    or off. BadInput for anything else.
    """
    given = await body(request)
    if not isinstance(given, dict):
        raise BadInput("the body must be a JSON object")
    for name, value in given.items():
        if name not in types:
            raise BadInput(f"unknown field {name!r}; there are {', '.join(types)}", name)
        if type(value) is not types[name]:
            raise BadInput(f"{name} must be {'true or false' if types[name] is bool else 'a text'}", name)
    return {name: kind() for name, kind in types.items()} | given


def query(request: web.Request) -> dict[str, str]:
    """The parameters of the address. BadInput when one is named twice: which of them counts would be anybody's guess."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in found:
            raise BadInput(f"the parameter {name!r} is given twice; give it once", name)
        found[name] = value
    return found


def whole(params: Mapping[str, str], name: str, default: int, most: int) -> int:
    """The parameter of that name, a whole number from 1 to `most`. BadInput for anything else."""
    text = params.get(name, str(default))
    if re.fullmatch("[0-9]{1,6}", text) is None or not 1 <= int(text) <= most:
        raise BadInput(f"{name} must be a whole number from 1 to {most}", name)
    return int(text)


def problem(status: int, code: str, detail: str, field: str | None = None, retry_s: float = _RETRY_S) -> web.Response:
    """What went wrong, why, and what to do. `retry_s` is when it may be tried again, where that can help."""
    said: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    if field is not None:
        said["field"] = field
    response = json(said, status)
    response.content_type = "application/problem+json"
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        response.headers["Retry-After"] = str(math.ceil(retry_s))
    return response


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error of a handler becomes a problem; what is nobody's fault but ours is logged and not told."""
    try:
        return await handler(request)
    except PixeldError as error:
        return problem(
            error.status, error.code, str(error), getattr(error, "field", None), getattr(error, "retry_s", _RETRY_S)
        )
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allowed = error.headers.get(hdrs.ALLOW)
        detail = _DETAILS.get(error.status, error.reason) + (f" {allowed}" if allowed else "")
        response = problem(error.status, HTTPStatus(error.status).phrase.lower().replace(" ", "_"), detail)
        if allowed:
            response.headers[hdrs.ALLOW] = allowed
        return response
    except Exception:
        log.exception("a handler failed", extra={"route": getattr(request.match_info.route, "name", None)})
        return problem(500, "internal", "pixeld met an error of its own; its log says where")


async def without_server(request: web.Request, response: web.StreamResponse) -> None:
    """No reply names the server or its version."""
    response.headers.pop("Server", None)
