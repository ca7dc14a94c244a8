"""The admin API around what a person may ask for. A subject stands in the body, never in an address: those are logged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from aiohttp import web

from pixeld.domain.subject import Subject
from pixeld.web import keys
from pixeld.web.responses import body, json, stream


async def erase(request: web.Request) -> web.Response:
    """Delete a click, an order or a partner everywhere; the proof."""
    return json(await request.app[keys.RIGHTS].erase(Subject.parse(await body(request)), keys.ADMIN))


async def export(request: web.Request) -> web.StreamResponse:
    """All that is held on one, as one JSON document, a record a line: a partner may have millions."""
    subject = Subject.parse(await body(request))
    items = request.app[keys.RIGHTS].export(subject, keys.ADMIN)
    first = await anext(items, None)  # what can't be done is said before anything is

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b'{"%b": %b, "held": [' % (subject.what.encode(), orjson.dumps(subject.text))
        if first is not None:
            yield b"\n" + _line(*first)
            async for item in items:
                yield b",\n" + _line(*item)
        yield b"\n]}\n"

    return await stream(request, pieces(), "application/json")


async def audit(request: web.Request) -> web.Response:
    """What is held at every place, beside what the data map promises."""
    found = await request.app[keys.RIGHTS].audit()
    return json({"places": [finding._asdict() for finding in found], "problems": sum(bool(f.problem) for f in found)})


ROUTES = [
    web.post("/api/privacy/erase", erase),
    web.post("/api/privacy/export", export),
    web.get("/api/privacy/audit", audit),
]


def _line(place: str, record: dict[str, Any]) -> bytes:
    return orjson.dumps({"place": place, "record": record})
