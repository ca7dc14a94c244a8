"""Who comes, for every role: one trait at a time, as it was released."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web

from pixeld.accounts.account import Role
from pixeld.domain.audience import OTHER, Trait
from pixeld.domain.reports import DEFAULT_DAYS
from pixeld.errors import BadInput
from pixeld.web.portal import keys, sessions
from pixeld.web.portal.forms import Form
from pixeld.web.portal.pages import Audience, Page, page

_ASKED = ("from", "to", "by", "client", "partner")
_TRAITS = {
    Trait.COUNTRY: "Country",
    Trait.LANGUAGE: "Language",
    Trait.DEVICE: "Device",
    Trait.BROWSER: "Browser",
    Trait.OS: "System",
    Trait.HOUR: "Hour of the day",
    Trait.VISIT: "New or returning",
    Trait.CATEGORY: "What they bought",
}


def shown(by: str, value: str) -> str:
    """A value as a reader says it."""
    if value == OTHER:
        return "Other"
    if by == Trait.HOUR:
        return f"{int(value):02}:00 UTC"
    return (value.capitalize() if by in (Trait.DEVICE, Trait.VISIT) else value) or "(unknown)"


async def show(request: web.Request) -> web.Response:
    """The report. What is wrong with the question is told beside its field."""
    reader, today = sessions.reader(request), request.app[keys.TODAY]()
    first, last = today - timedelta(days=DEFAULT_DAYS), today - timedelta(days=1)
    params = {"by": Trait.COUNTRY.value, "from": str(first), "to": str(last)}
    params |= {name: value for name in _ASKED if (value := request.query.get(name, "").strip())}
    report: dict[str, Any] | None = None
    problems: Mapping[str, str] = {}
    try:
        report = await reader.audience(params)
    except BadInput as error:
        problems = {error.field or "by": str(error)}
    role, by = sessions.account(request).role, params["by"]
    rows = [(shown(by, row[by]), row["visitors"]) for row in report["rows"]] if report else []
    return page(
        request,
        "audience.html",
        form=Form(params, problems),
        report=report,
        rows=rows,
        most=max((visitors for _, visitors in rows), default=0),
        total=sum(visitors for _, visitors in rows),
        by=by,
        trait=_TRAITS.get(Trait(by)) if report else "",
        traits=[(trait.value, name) for trait, name in _TRAITS.items()],
        clients=[] if role is Role.CLIENT else [(c.id, c.name) for c in reader.clients()],
        partners=[] if role is Role.PARTNER else [(p.id, p.name) for p in reader.partners()],
    )


PAGES = (Page("GET", "/audience", show, Audience.ACCOUNT),)
