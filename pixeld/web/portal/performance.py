"""Performance, for every role: counts and money by what one asks for, as a chart, a table and CSV."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from pixeld.accounts.account import Role
from pixeld.domain.reports import DEFAULT_DAYS
from pixeld.errors import BadInput
from pixeld.web.api import reporting
from pixeld.web.portal import keys, sessions
from pixeld.web.portal.figures import COLUMNS, DIMENSIONS, IN_TIME
from pixeld.web.portal.forms import Form
from pixeld.web.portal.pages import PREFIX, Audience, Page, page

_ASKED = ("from", "to", "by", "client", "partner")
_BY = {
    Role.PARTNER: ("day", "month", "client", "s1", "s2", "s3", "s4", "s5", "creative"),
    Role.CLIENT: ("day", "month", "partner", "creative"),
    Role.OPERATOR: ("day", "month", "client", "partner", "quality"),
}
_EXACT = ("country", "device", "browser", "os", "language")  # for operators who may, beside the others


def _params(request: web.Request) -> dict[str, str]:
    """What the report is asked with: by day over the last 30 days, unless the form says otherwise."""
    today = request.app[keys.TODAY]()
    usual = {"by": "day", "from": str(today - timedelta(days=DEFAULT_DAYS - 1)), "to": str(today)}
    return usual | {name: value for name in _ASKED if (value := request.query.get(name, "").strip())}


async def show(request: web.Request) -> web.Response:
    """The report. What is wrong with the question is told beside its field."""
    params, reader = _params(request), sessions.reader(request)
    report: dict[str, Any] | None = None
    problems: Mapping[str, str] = {}
    try:
        report = await reader.performance(params)
    except BadInput as error:
        problems = {error.field or "by": str(error)}
    role = sessions.account(request).role
    by = (*_BY[role], *_EXACT) if role is Role.OPERATOR and request.app[keys.EXACT] else _BY[role]
    values: dict[str, Any] = {
        "by": params["by"],
        "report": report,
        "in_time": params["by"] in IN_TIME,
        "dimension": DIMENSIONS.get(params["by"], params["by"]),
        "dimensions": [(name, DIMENSIONS[name]) for name in by],
        "columns": COLUMNS,
        "clients": [] if role is Role.CLIENT else [(c.id, c.name) for c in reader.clients()],
        "partners": [] if role is Role.PARTNER else [(p.id, p.name) for p in reader.partners()],
        "csv": f"{PREFIX}/performance.csv?{urlencode(params)}",
    }
    names = dict(values["clients"] + values["partners"]) if params["by"] in ("client", "partner") else {}
    values |= {"form": Form(params, problems), "names": names}
    return await asyncio.to_thread(page, request, "performance.html", **values)  # 20,000 rows, the most, take 1.2 s


async def download(request: web.Request) -> web.Response:
    """The same report as CSV."""
    report = await sessions.reader(request).performance(_params(request))
    return await reporting.sheet("performance", report["columns"], report["rows"])


PAGES = (
    Page("GET", "/performance", show, Audience.ACCOUNT),
    Page("GET", "/performance.csv", download, Audience.ACCOUNT),
)
