"""The admin listener: health and metrics for machines, and the API with the admin token."""

from __future__ import annotations

import csv
import hmac
import io
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from pixeld import metrics
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.reports import OrdersQuery, PerformanceQuery, Scope
from pixeld.errors import BadInput, NotFound, Unauthorized, Unavailable
from pixeld.web import keys, people
from pixeld.web.responses import body, errors, json, without_server

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_WHO = "admin"  # whose change it was, on the audit stream; portal users will have names of their own
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
            web.post("/api/flush", flush),
            web.post("/api/sql", sql),
            web.get("/api/tail", tail),
            *people.ROUTES,
        ]
    )
    return app


@web.middleware
async def _authorize(request: web.Request, handler: _Handler) -> web.StreamResponse:
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
    return json((await request.app[keys.REGISTRY].add_client(await body(request), _WHO)).to_json(), 201)


async def list_clients(request: web.Request) -> web.Response:
    """Every client."""
    return json({"clients": [client.to_json() for client in _snapshot(request).clients.values()]})


async def read_client(request: web.Request) -> web.Response:
    """One client."""
    return json(_client(request).to_json())


async def change_client(request: web.Request) -> web.Response:
    """Change some of a client's fields."""
    changed = await request.app[keys.REGISTRY].change_client(request.match_info["client"], await body(request), _WHO)
    return json(changed.to_json())


async def add_partner(request: web.Request) -> web.Response:
    """Register a partner."""
    return json((await request.app[keys.REGISTRY].add_partner(await body(request), _WHO)).to_json(), 201)


async def list_partners(request: web.Request) -> web.Response:
    """Every partner."""
    return json({"partners": [partner.to_json() for partner in _snapshot(request).partners.values()]})


async def read_partner(request: web.Request) -> web.Response:
    """One partner."""
    return json(_partner(request).to_json())


async def change_partner(request: web.Request) -> web.Response:
    """Change some of a partner's fields."""
    changed = await request.app[keys.REGISTRY].change_partner(request.match_info["partner"], await body(request), _WHO)
    return json(changed.to_json())


async def set_member(request: web.Request) -> web.Response:
    """Set status, commission or both of a membership."""
    client, partner = request.match_info["client"], request.match_info["partner"]
    status = await request.app[keys.REGISTRY].set_member(client, partner, await body(request), _WHO)
    return json({"client": client, **_member(_snapshot(request), client, partner, status)})


async def list_members(request: web.Request) -> web.Response:
    """A client's memberships."""
    client = _client(request)
    snapshot = _snapshot(request)
    return json({"partners": [_member(snapshot, c, p, s) for (c, p), s in snapshot.members.items() if c == client.id]})


async def decide_order(request: web.Request) -> web.Response:
    """Approve or reject an order: {"order", "status", "seen", "reason"}.

    The order is named in the body, not in the path: shops choose its id, and of one with `/`, `%`, `.` or `..` in it, proxies,
    clients and routers on the way would each make another path.
    """
    client, asked = request.match_info["client"], await body(request)
    if not isinstance(asked, dict) or not isinstance(asked.get("order"), str):
        raise BadInput('the body must be {"order": "…", "status": "approved", "seen": "pending"}', "order")
    order, reason = asked["order"], asked.get("reason", "")
    decide = request.app[keys.DECISIONS].decide
    status = await decide(Scope.operator(), client, order, asked.get("status"), reason, asked.get("seen"), _WHO)
    return json({"client": client, "order": order, "status": status, "reason": reason.strip() or None})


async def audit(request: web.Request) -> web.Response:
    """The newest changes of the registry."""
    return json({"changes": await request.app[keys.REGISTRY].audit(1000)})


async def performance(request: web.Request) -> web.Response:
    """Counts and money by the dimensions asked for."""
    values = dict(request.query)
    form = values.pop("format", "json")
    if form not in ("json", "csv"):
        raise BadInput("format must be json or csv", "format")
    query = PerformanceQuery.parse(values, today=request.app[keys.OPERATIONS].today())
    clients = {c.id: (c.currency, c.timezone) for c in _snapshot(request).clients.values()}
    report = await request.app[keys.REPORTS].performance(Scope.operator(), query, clients)
    return _csv(report) if form == "csv" else json(report)


async def orders(request: web.Request) -> web.Response:
    """The orders themselves, newest first, page by page."""
    query = OrdersQuery.parse(dict(request.query), today=request.app[keys.OPERATIONS].today())
    return json(await request.app[keys.REPORTS].orders(Scope.operator(), query))


async def flush(request: web.Request) -> web.Response:
    """Flush what is queued now; answers when it is in ClickHouse."""
    return json({"events": await request.app[keys.OPERATIONS].flush()})


async def sql(request: web.Request) -> web.Response:
    """The rows of one reading statement: the embedded engine has no other door."""
    asked = await body(request)
    statement = asked.get("sql") if isinstance(asked, dict) else None
    if not isinstance(statement, str):
        raise BadInput('the body must be {"sql": "SELECT …"}', "sql")
    rows = await request.app[keys.OPERATIONS].sql(statement)
    columns = list(rows[0]) if rows else []
    return json({"columns": columns, "rows": [list(row.values()) for row in rows]})


async def tail(request: web.Request) -> web.StreamResponse:
    """Events as they come in, one JSON object a line, until the peer goes away."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
    await response.prepare(request)
    async for event in request.app[keys.OPERATIONS].tail():
        if request.transport is None or request.transport.is_closing():
            break
        if event is not None:
            await response.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
    return response


def _snapshot(request: web.Request) -> Snapshot:
    snapshot = request.app[keys.REGISTRY].snapshot
    if snapshot is None:
        raise Unavailable("clients and partners have not been read from Redis yet; see /readyz")
    return snapshot


def _member(snapshot: Snapshot, client: str, partner: str, status: Status) -> dict[str, Any]:
    """A membership; its commission only where it has terms of its own."""
    own = snapshot.terms.get((client, partner))
    return {"partner": partner, "status": status} | ({"commission": [terms.to_json() for terms in own]} if own else {})


def _client(request: web.Request) -> Client:
    client = _snapshot(request).clients.get(request.match_info["client"])
    if client is None:
        raise NotFound(f"there is no client {request.match_info['client']!r}")
    return client


def _partner(request: web.Request) -> Partner:
    partner = _snapshot(request).partners.get(request.match_info["partner"])
    if partner is None:
        raise NotFound(f"there is no partner {request.match_info['partner']!r}")
    return partner


def _csv(report: dict[str, Any]) -> web.Response:
    """The rows as CSV. A text that a spreadsheet would take for a formula gets a quote before it (OWASP, CSV injection)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(report["columns"])
    for row in report["rows"]:
        writer.writerow([_cell(row[column]) for column in report["columns"]])
    return web.Response(text=out.getvalue(), content_type="text/csv", headers={"Cache-Control": "no-store"})


def _cell(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{value}" if risky and _NUMBER.fullmatch(value) is None else value
