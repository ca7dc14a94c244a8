"""Reports as replies, for whoever may read: JSON or CSV, by `format` or by what the `Accept` header prefers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web

from pixeld.accounts.reader import Reader
from pixeld.domain.report_rows import NOT_FOR_PARTNERS
from pixeld.errors import BadInput
from pixeld.web.api import schemas, sheets
from pixeld.web.responses import json

FORMATS = ("json", "csv")
_BY_TYPE = {sheets.CONTENT_TYPE: "csv", "text/*": "csv", "application/json": "json", "application/*": "json", "*/*": "json"}


async def performance(request: web.Request, reader: Reader, params: Mapping[str, str]) -> web.Response:
    """Counts and money by the dimensions asked for. BadInput as `Reader.performance`, or for an unknown format."""
    form, asked = _format(request, params)
    report = await reader.performance(asked)
    if form == "csv":
        return await sheet("performance", report["columns"], report["rows"])
    return json(report)


async def refusals(request: web.Request, reader: Reader, params: Mapping[str, str]) -> web.Response:
    """How many requests of visitors who may not be tracked. BadInput as `Reader.refusals`, or for an unknown format."""
    form, asked = _format(request, params)
    report = await reader.refusals(asked)
    return await sheet("refusals", report["columns"], report["rows"]) if form == "csv" else json(report)


async def orders(request: web.Request, reader: Reader, params: Mapping[str, str]) -> web.Response:
    """A page of orders, newest first. Where there is a next one, `Link` leads to it (RFC 8288), also from CSV."""
    form, asked = _format(request, params)
    page = await reader.orders(asked)
    hidden = NOT_FOR_PARTNERS if reader.scope.role == "partner" else ()
    columns = [name for name in schemas.ORDER_COLUMNS if name not in hidden]
    response = await sheet("orders", columns, page["rows"]) if form == "csv" else json(page)
    if page["next"]:
        response.headers[hdrs.LINK] = f'<{request.rel_url.update_query(cursor=page["next"])}>; rel="next"'
    return response


async def audience(request: web.Request, reader: Reader, params: Mapping[str, str]) -> web.Response:
    """Visitors by one trait. BadInput as `Reader.audience`, or for an unknown format."""
    form, asked = _format(request, params)
    report = await reader.audience(asked)
    return await sheet("audience", report["columns"], report["rows"]) if form == "csv" else json(report)


async def sheet(name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> web.Response:
    """Rows as a CSV file of that name, made beside the event loop: a report has 20,000 at most, which take 0.1 s."""
    return web.Response(
        text=await asyncio.to_thread(sheets.csv_text, columns, rows),
        content_type=sheets.CONTENT_TYPE,
        headers={"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _format(request: web.Request, params: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The format, and the parameters without it."""
    asked = dict(params)
    form = asked.pop("format", None) or _preferred(request.headers.get(hdrs.ACCEPT, ""))
    if form not in FORMATS or params.get("format") == "":
        raise BadInput(f"format must be {' or '.join(FORMATS)}", "format")
    return form, asked


def _preferred(accept: str) -> str:
    """What a peer would rather have; JSON when it doesn't say, or wants something that there isn't."""
    best, found = 0.0, "json"
    for part in accept.split(","):
        kind, *options = (piece.strip() for piece in part.lower().split(";"))
        form = _BY_TYPE.get(kind)
        if form and (weight := _weight(options)) > best:
            best, found = weight, form
    return found


def _weight(options: Sequence[str]) -> float:
    try:
        return next((float(option[2:]) for option in options if option.startswith("q=")), 1.0)
    except ValueError:
        return 0.0
