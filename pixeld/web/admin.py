"""The admin listener: health and metrics for machines, and the API with the admin token."""

from __future__ import annotations

import hmac
import re
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from aiohttp import web

from pixeld import metrics
from pixeld.accounts.reader import Agreement, Reader
from pixeld.domain.events import TRAITS
from pixeld.domain.reports import Scope
from pixeld.errors import BadInput, Forbidden, Unauthorized
from pixeld.web import keys, people, rights
from pixeld.web.api import deciding, reporting
from pixeld.web.responses import Handler, body, errors, fields, json, query, stream, whole, without_server

_EVERYTHING = Scope.operator()
_MOST_CHANGES = 1000  # of the audit log at once
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'?")  # in a statement: what it names, which the audit log is not to keep


def application() -> web.Application:
    """The admin application; the composition root fills in web.keys."""
    app = web.Application(middlewares=[errors, _authorize])
    app.on_response_prepare.append(without_server)
    app.router.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", read_metrics),
            web.post("/api/clients", add_client),
            web.get("/api/clients", list_clients),
            web.get("/api/clients/{client}", read_client),
            web.patch("/api/clients/{client}", change_client),
            web.post("/api/partners", add_partner),
            web.get("/api/partners", list_partners),
            web.get("/api/partners/{partner}", read_partner),
            web.patch("/api/partners/{partner}", change_partner),
            web.put("/api/clients/{client}/partners/{partner}", set_member),
            web.get("/api/clients/{client}/partners", list_members),
            web.post("/api/clients/{client}/decisions", decide_order),
            web.get("/api/audit", audit),
            web.get("/api/reports/performance", performance),
            web.get("/api/reports/orders", orders),
            web.get("/api/reports/refusals", refusals),
            web.get("/api/reports/audience", audience),
            web.post("/api/flush", flush),
            web.post("/api/sql", sql),
            web.post("/api/sql-access", sql_access),
            web.get("/api/tail", tail),
            *people.ROUTES,
            *rights.ROUTES,
        ]
    )
    return app


@web.middleware
async def _authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/api/"):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        expected = request.app[keys.ADMIN_TOKEN]
        given = token.strip().encode(errors="surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, expected.encode()):
            raise Unauthorized(
                "this needs `Authorization: Bearer <admin token>`; the token is in the file admin-token of the data directory"
            )
    return await handler(request)


async def livez(request: web.Request) -> web.Response:
    """The process runs. Nothing else is asked."""
    return json({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Every dependency, one by one; 503 when one of them fails."""
    found = await request.app[keys.OPERATIONS].health()
    ready = all(health.ok for health in found.values())
    report: dict[str, Any] = {"status": "ready" if ready else "not ready"}
    report |= {name: {"ok": health.ok, **health.detail} for name, health in found.items()}
    return json(report, 200 if ready else 503)


async def read_metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    await request.app[keys.OPERATIONS].health()  # gauges of Redis are as of the last look
    text = request.app[keys.METRICS].render()
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})


async def add_client(request: web.Request) -> web.Response:
    """Register a client."""
    return json((await request.app[keys.REGISTRY].add_client(await body(request), keys.ADMIN)).to_json(), 201)


async def list_clients(request: web.Request) -> web.Response:
    """Every client."""
    return json({"clients": [client.to_json() for client in _reader(request).clients()]})


async def read_client(request: web.Request) -> web.Response:
    """One client."""
    return json(_reader(request).client(request.match_info["client"]).to_json())


async def change_client(request: web.Request) -> web.Response:
    """Change some of a client's fields."""
    changed = await request.app[keys.REGISTRY].change_client(request.match_info["client"], await body(request), keys.ADMIN)
    return json(changed.to_json())


async def add_partner(request: web.Request) -> web.Response:
    """Register a partner."""
    return json((await request.app[keys.REGISTRY].add_partner(await body(request), keys.ADMIN)).to_json(), 201)


async def list_partners(request: web.Request) -> web.Response:
    """Every partner."""
    return json({"partners": [partner.to_json() for partner in _reader(request).partners()]})


async def read_partner(request: web.Request) -> web.Response:
    """One partner."""
    return json(_reader(request).partner(request.match_info["partner"]).to_json())


async def change_partner(request: web.Request) -> web.Response:
    """Change some of a partner's fields."""
    changed = await request.app[keys.REGISTRY].change_partner(request.match_info["partner"], await body(request), keys.ADMIN)
    return json(changed.to_json())


async def set_member(request: web.Request) -> web.Response:
    """Set status, commission or both of a membership."""
    client, partner = request.match_info["client"], request.match_info["partner"]
    await request.app[keys.REGISTRY].set_member(client, partner, await body(request), keys.ADMIN)
    return json({"client": client, **_member(_reader(request).membership(client, partner))})


async def list_members(request: web.Request) -> web.Response:
    """A client's memberships."""
    client = _reader(request).client(request.match_info["client"])
    return json({"partners": [_member(each) for each in _reader(request, Scope.client(client.id)).memberships()]})


async def decide_order(request: web.Request) -> web.Response:
    """Approve or reject an order; for good."""
    client, decisions = request.match_info["client"], request.app[keys.DECISIONS]
    order, status, reason = await deciding.decide(request, decisions, Scope.operator(), client, keys.ADMIN)
    return json({"client": client, "order": order, "status": status, "reason": reason or None})


async def audit(request: web.Request) -> web.Response:
    """Changes, newest first; `next` is what gives those before them as `before`, null where there are none."""
    asked = query(request)
    limit = whole(asked, "limit", _MOST_CHANGES, _MOST_CHANGES)
    found = await request.app[keys.REGISTRY].audit(limit + 1, asked.get("before", ""))
    return json({"changes": found[:limit], "next": found[limit - 1]["id"] if len(found) > limit else None})


async def refusals(request: web.Request) -> web.Response:
    """How many requests of visitors who may not be tracked, and by which signal."""
    return await reporting.refusals(request, _reader(request), query(request))


async def performance(request: web.Request) -> web.Response:
    """Counts and money by the dimensions asked for."""
    return await reporting.performance(request, _reader(request), query(request))


async def orders(request: web.Request) -> web.Response:
    """The orders themselves, newest first, page by page."""
    return await reporting.orders(request, _reader(request), query(request))


async def audience(request: web.Request) -> web.Response:
    """Who came, by one trait, in groups that are large enough."""
    return await reporting.audience(request, _reader(request), query(request))


async def flush(request: web.Request) -> web.Response:
    """Flush what is queued now; answers when it is in ClickHouse."""
    return json({"events": await request.app[keys.OPERATIONS].flush()})


async def sql(request: web.Request) -> web.Response:
    """The rows of one reading statement: the embedded engine has no other door. Noted first, without what it names."""
    asked = await body(request)
    statement = asked.get("sql") if isinstance(asked, dict) else None
    if not isinstance(statement, str):
        raise BadInput('the body must be {"sql": "SELECT …"}', "sql")
    if not request.app.get(keys.SINGLE, False):
        raise Forbidden(
            "this would show single events, and visitors are shown in groups; whoever runs this server may allow it, by "
            "admin_permissions = \"single-events\", and each statement is then on the audit log"
        )
    await request.app[keys.REGISTRY].note("single-events", None, {"sql": _LITERAL.sub("'…'", statement)[:500]}, keys.ADMIN)
    rows = await request.app[keys.OPERATIONS].sql(statement)
    columns = list(rows[0]) if rows else []
    return json({"columns": columns, "rows": [list(row.values()) for row in rows]})


async def sql_access(request: web.Request) -> web.Response:
    """Note that a login at ClickHouse is made or dropped, or that this failed. `pixeld sql-access` does it, and asks first."""
    asked = await fields(request, login=str, change=str, failed=bool)
    if re.fullmatch(r"[^\W_]\S{0,199}", asked["login"]) is None:
        raise BadInput("login must be the name of a login, of at most 200 characters", "login")
    if asked["change"] not in ("made", "dropped"):
        raise BadInput("change must be made or dropped", "change")
    what, before, after = f"sql-access/{asked['login']}", None, asked["change"]
    if asked["failed"]:
        what, before, after = f"{what}/failed", after, None
    await request.app[keys.REGISTRY].note(what, before, after, keys.ADMIN)
    return json({"noted": what}, 201)


async def tail(request: web.Request) -> web.StreamResponse:
    """Events as they come in, one JSON object a line, until the peer goes away; without what they say of who made them, unless
    the permission is there.
    """
    hidden = TRAITS
    if request.app.get(keys.SINGLE, False):
        hidden = frozenset()
        await request.app[keys.REGISTRY].note("single-events", None, {"tail": True}, keys.ADMIN)

    async def lines() -> AsyncGenerator[bytes, None]:
        async for event in request.app[keys.OPERATIONS].tail():
            shown = {name: value for name, value in (event or {}).items() if name not in hidden}
            yield orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE) if shown else b""

    return await stream(request, lines(), "application/x-ndjson")


def _reader(request: web.Request, scope: Scope = _EVERYTHING) -> Reader:
    app = request.app
    exact_as = keys.ADMIN if app.get(keys.EXACT, False) else ""
    return Reader(scope, app[keys.REGISTRY], app[keys.REPORTS], app[keys.OPERATIONS].today, exact_as)


def _member(agreement: Agreement) -> dict[str, Any]:
    """A membership; its commission only where it has terms of its own."""
    own = [terms.to_json() for terms in agreement.commission]
    return {"partner": agreement.partner.id, "status": agreement.status} | ({"commission": own} if own else {})
