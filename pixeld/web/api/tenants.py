"""The API of clients and partners: `/api/v1` on the public listener, with keys of theirs that say what each may read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from typing import Any, Protocol

from aiohttp import hdrs, web

from pixeld.accounts.reader import Reader
from pixeld.domain.commission import Terms
from pixeld.domain.ports import Decisions, Registry, Reports
from pixeld.domain.reports import Scope
from pixeld.errors import BadInput, NotFound, TooMany, Unauthorized
from pixeld.web.api import apidocs, deciding, reporting
from pixeld.web.api.openapi import JSON, Route, document
from pixeld.web.api.schemas import BY_TRAIT, ref
from pixeld.web.api.sheets import CONTENT_TYPE as CSV
from pixeld.web.rate import Limiter
from pixeld.web.responses import errors, json, query, without_server

PREFIX = "/api/v1"
_ID_CHARACTERS = 12  # `pxk_` and the key's id, which its owner sees listed; what comes behind is the secret


class Keys(Protocol):
    """What is asked of `accounts.apikeys.ApiKeys`."""

    async def scope_of(self, text: str) -> Scope:
        """What the bearer of a key may read. Unauthorized for anything but a key."""


@dataclass(frozen=True, slots=True)
class Tenants:
    """What the API is made of. `today` is the date in UTC, `limiter` counts the requests of each key."""

    keys: Keys
    registry: Registry
    reports: Reports
    decisions: Decisions
    today: Callable[[], date]
    limiter: Limiter


@dataclass(frozen=True, slots=True)
class Call:
    """A request with a valid key: its parameters, each one of the route's own, what the key may read, and who holds it."""

    request: web.Request
    reader: Reader
    params: dict[str, str]
    decisions: Decisions
    who: str


async def me(call: Call) -> web.Response:
    """Whose key this is."""
    reader, scope = call.reader, call.reader.scope
    party = reader.client(scope.id) if scope.role == "client" else reader.partner(scope.id)
    return json({"role": scope.role, "id": party.id, "name": party.name})


async def performance(call: Call) -> web.Response:
    """Impressions, clicks, orders, revenue and commission."""
    return await reporting.performance(call.request, call.reader, call.params)


async def orders(call: Call) -> web.Response:
    """The orders one by one, newest first, page by page."""
    return await reporting.orders(call.request, call.reader, call.params)


async def refusals(call: Call) -> web.Response:
    """How many requests came from visitors who may not be tracked, and by which signal."""
    return await reporting.refusals(call.request, call.reader, call.params)


async def audience(call: Call) -> web.Response:
    """Who came, by one trait, in groups that are large enough."""
    return await reporting.audience(call.request, call.reader, call.params)


async def clients(call: Call) -> web.Response:
    """The clients that you have or had a membership with, and its status."""
    return json(
        {
            "clients": [
                {
                    "id": client.id,
                    "name": client.name,
                    "landing_url": client.landing_url,
                    "allowed_hosts": client.allowed_hosts,
                    "currency": client.currency,
                    "window_days": client.window_days,
                    "timezone": client.timezone,
                    "click_param": client.click_param,
                    "lock_days": client.lock_days,
                    "commission": _terms(client.commission),
                    "own_commission": _terms(own),
                    "status": status,
                }
                for client, _, status, own in call.reader.memberships()
            ]
        }
    )


async def partners(call: Call) -> web.Response:
    """Your partners, and the status of their memberships."""
    return json(
        {
            "partners": [
                {"id": partner.id, "name": partner.name, "own_commission": _terms(own), "status": status}
                for _, partner, status, own in call.reader.memberships()
            ]
        }
    )


async def decide(call: Call) -> web.Response:
    """Approve or reject a pending order; for good."""
    scope = call.reader.scope
    order, status, _ = await deciding.decide(call.request, call.decisions, scope, scope.id, call.who)
    return json({"order": order, "status": status})


async def description(request: web.Request) -> web.Response:
    """This description, for programs."""
    return json(_document())


async def docs(request: web.Request) -> web.Response:
    """This description, for people."""
    return web.Response(text=_page(), content_type="text/html", headers={"Cache-Control": "public, max-age=3600"})


_BOTH = ("client", "partner")
_FILTERS = ("from", "to", "client", "partner")
_REPORT = (*_FILTERS, "tz", "format")
_PAGE = (*_REPORT, "status", "limit", "cursor")
_TRAIT = {"by": BY_TRAIT}
_SHEET = {CSV: {"type": "string"}}
ROUTES = (
    Route("GET", "/me", me, {JSON: ref("Me")}, _BOTH),
    Route("GET", "/performance", performance, {JSON: ref("Performance")} | _SHEET, _BOTH, (*_REPORT, "by", "quality")),
    Route(
        "GET", "/orders", orders, {JSON: ref("Orders")} | _SHEET, _BOTH, _PAGE, paged=True
    ),
    Route("GET", "/refusals", refusals, {JSON: ref("Refusals")} | _SHEET, _BOTH, _REPORT),
    Route("GET", "/audience", audience, {JSON: ref("Audience")} | _SHEET, _BOTH, (*_FILTERS, "by", "format"), own=_TRAIT),
    Route("POST", "/orders/decision", decide, {JSON: ref("Decided")}, ("client",), takes=ref("Decision"), fails=(409,)),
    Route("GET", "/clients", clients, {JSON: ref("Clients")}, ("partner",)),
    Route("GET", "/partners", partners, {JSON: ref("Partners")}, ("client",)),
    Route("GET", "/openapi.json", description, {JSON: {"type": "object"}}),
    Route("GET", "/docs", docs, {"text/html": {"type": "string"}}),
)


def application(tenants: Tenants) -> web.Application:
    """The API, to be mounted at PREFIX."""
    app = web.Application(middlewares=[errors])
    app.on_response_prepare.append(without_server)
    door = _Door(tenants)
    for route in ROUTES:
        add = app.router.add_get if route.method == "GET" else app.router.add_post
        add(route.path, partial(door.enter, route) if route.roles else route.handler)
    app.router.add_get("/docs.css", style)
    return app


class _Door:
    """Where every request with a key comes in: whose it is, whether it comes too often, and what it may ask."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def enter(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Answer as `route` does, for the scope of the key alone. Raises Unauthorized, TooMany, NotFound or BadInput."""
        scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("this needs `Authorization: Bearer <key>`; keys are made in the portal and begin with pxk_")
        key = text.strip()
        tenants = self._tenants
        scope = await tenants.keys.scope_of(key)
        # Behind that, so that nobody uses up another's requests with a made-up key of the same id.
        if not tenants.limiter.allows(key[:_ID_CHARACTERS]):
            told = f"more than {1 / tenants.limiter.token_s:g} requests a second with this key; please wait"
            raise TooMany(told, tenants.limiter.token_s)
        if scope.role not in route.roles:
            raise NotFound(f"there is nothing at this address for a {scope.role}'s key")
        params = query(request)
        for name in params:
            if name not in route.params:
                there = f"there are {', '.join(route.params)}" if route.params else "there are none here"
                raise BadInput(f"there is no parameter {name!r}; {there}", name)
        reader = Reader(scope, tenants.registry, tenants.reports, tenants.today)
        who = f"{scope.role}:{scope.id}/{key[:_ID_CHARACTERS]}"
        return await route.handler(Call(request, reader, params, tenants.decisions, who))


def _terms(agreement: tuple[Terms, ...]) -> list[dict[str, Any]]:
    return [terms.to_json() for terms in agreement]


async def style(request: web.Request) -> web.Response:
    """How the description looks."""
    return web.Response(text=apidocs.style(), content_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


@cache
def _document() -> dict[str, Any]:
    return document(ROUTES, PREFIX)


@cache
def _page() -> str:
    return apidocs.page(_document())
