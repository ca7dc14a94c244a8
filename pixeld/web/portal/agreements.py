"""What orders earn: the terms of a client, and a membership's own, as its client and operators see and change them.

Terms are agreed for days from today on. What orders of earlier days have earned was decided when they came, and the history
that is shown says by which terms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

from pixeld.domain.commission import Terms, amended, cut, in_force
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Client
from pixeld.errors import BadInput, Conflict
from pixeld.web.portal import client as clients
from pixeld.web.portal import figures, formats, forms, keys, sessions, terms
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, Audience, Page, page, see_other

_STALE = (
    "Somebody has changed these terms while you were at it. Nothing of yours has been saved: look at what stands now, then "
    "save again."
)


class _Agreement(NamedTuple):
    """The terms that a page is about: whose, as they stand, under which version, and how they are replaced."""

    title: str
    back: tuple[str, str] | None
    client: Client
    terms: tuple[Terms, ...]
    version: int
    replace: Callable[[list[dict[str, Any]], int], Awaitable[Any]]
    partner: str = ""


def _of_client(request: web.Request, client: Client, back: tuple[str, str] | None = None) -> _Agreement:
    registry, who = request.app[keys.REGISTRY], sessions.account(request).who

    async def replace(terms: list[dict[str, Any]], seen: int) -> None:
        await registry.change_client(client.id, {"commission": terms}, who, seen=seen)

    return _Agreement("Commission", back, client, client.commission, fingerprint(client.to_json()), replace)


def _of_membership(request: web.Request) -> _Agreement:
    found = sessions.reader(request).membership(sessions.account(request).subject, request.match_info["partner"])
    registry, who = request.app[keys.REGISTRY], sessions.account(request).who

    async def replace(terms: list[dict[str, Any]], seen: int) -> None:
        await registry.set_member(found.client.id, found.partner.id, {"commission": terms}, who, seen=seen)

    title = f"Commission of {found.partner.name}"
    back = (f"{PREFIX}/client/partners/{found.partner.id}", found.partner.name)
    return _Agreement(title, back, found.client, found.commission, found.version, replace, found.partner.name)


def _found(request: web.Request) -> _Agreement:
    """What the address is about. NotFound for what isn't the account's own."""
    if "partner" in request.match_info:
        return _of_membership(request)
    if "client" in request.match_info:
        client = sessions.reader(request).client(request.match_info["client"])
        return _of_client(request, client, (f"{PREFIX}/operator/clients/{client.id}", client.name))
    return _of_client(request, clients.own(request))


async def show(request: web.Request) -> web.Response:
    """The terms that hold, those that held and will hold, and a form for others."""
    found = _found(request)
    return _show(request, found, Form({"from_day": str(request.app[keys.TODAY]()), "version": str(found.version)}))


def _show(request: web.Request, found: _Agreement, form: Form, status: int = 200) -> web.Response:
    today = request.app[keys.TODAY]()
    currency = found.client.currency
    return page(
        request,
        "commission.html",
        status=status,
        form=form,
        agreement=found,
        history=terms.history(found.terms, currency, today),
        now=figures.terms_text(in_force(found.terms, today), currency),
        default=figures.terms_text(in_force(found.client.commission, today), currency) if found.partner else "",
        overrides=bool(cut(found.terms, today) != found.terms),
        today=str(today),
    )


async def change(request: web.Request) -> web.Response:
    """New terms, on their days. Those of other days stay."""
    found, today = _found(request), request.app[keys.TODAY]()
    try:
        new = terms.read(posted(request), found.client.currency, today)
        await found.replace([each.to_json() for each in amended(found.terms, new)], forms.version(request))
    except Conflict:
        return _stale(request)
    except BadInput as error:
        return _show(request, found, Form.again(request, error))
    said = f"{figures.terms_text(new, found.client.currency)} from {formats.plain_day(new.from_day)} on"
    return see_other(request.path, f"Saved: {said}.")


async def end(request: web.Request) -> web.Response:
    """Nothing from today on, of the agreement that the address is about: a membership then has its client's terms again."""
    found, today = _found(request), request.app[keys.TODAY]()
    try:
        await found.replace([each.to_json() for each in cut(found.terms, today)], forms.version(request))
    except Conflict:
        return _stale(request)
    return see_other(request.path.removesuffix("/end"), "Saved. They have ended; what orders have earned stays.")


def _stale(request: web.Request) -> web.Response:
    """Somebody has changed it meanwhile: what was typed, beneath what stands now."""
    found = _found(request)
    typed = {name: posted(request).get(name, "") for name in terms.FIELDS}
    return _show(request, found, Form({**typed, "version": str(found.version)}, {"": _STALE}), 409)


PAGES = tuple(
    Page(method, path + tail, handler, audience)
    for path, audience in (
        ("/client/commission", Audience.CLIENT),
        ("/client/partners/{partner}/commission", Audience.CLIENT),
        ("/operator/clients/{client}/commission", Audience.OPERATOR),
    )
    for method, tail, handler in (("GET", "", show), ("POST", "", change), ("POST", "/end", end))
)
