"""The operator's overview, health, memberships, accounts and audit log; parties, mail and policies are in `operator_…`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web

from pixeld.accounts.account import Role
from pixeld.accounts.audit import noted
from pixeld.domain.changes import changes
from pixeld.domain.registry import Status
from pixeld.domain.reports import DEFAULT_DAYS
from pixeld.errors import AlreadyExists, BadInput, NotFound, Unavailable, WarehouseRefused
from pixeld.web import lists
from pixeld.web.portal import figures, forms, keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, ROWS, Audience, Page, page, see_other

_OPERATOR = f"{PREFIX}/operator"
_MAILS = 500  # of the newest mails, those that the overview counts


async def overview(request: web.Request) -> web.Response:
    """What there is, what waits, what happened in the last 30 days, and whether every part is well."""
    reader, today, app = sessions.reader(request), request.app[keys.TODAY](), request.app
    health = await app[keys.HEALTH]()
    report: dict[str, Any] | None = None
    try:
        first = today - timedelta(days=DEFAULT_DAYS - 1)
        report = await reader.performance({"by": "day", "from": str(first), "to": str(today)})
    except (Unavailable, WarehouseRefused):
        pass  # health tells why; an operator needs this page most of all then
    statuses = Counter(m.status for m in reader.memberships())
    mails = Counter(mail.state for mail in await app[keys.OUTBOX].list(_MAILS))
    roles = Counter(account.role for account in await app[keys.ACCOUNTS].all())
    return page(
        request,
        "operator/overview.html",
        unwell=sorted(name for name, part in health.items() if not part.ok),
        parts_count=len(health),
        clients=len(reader.clients()),
        partners=len(reader.partners()),
        approved=statuses[Status.APPROVED],
        applied=statuses[Status.APPLIED],
        accounts=roles,
        mails=mails,
        totals=[row for row in report["totals"] if row["currency"]] if report else None,
        clicks=figures.total(report["totals"], "clicks") if report else 0,
        orders=figures.total(report["totals"], "orders") if report else 0,
        days=figures.days(report["rows"], [], first, today) if report else [],
        policy=await app[keys.POLICIES].current(),
    )


async def health(request: web.Request) -> web.Response:
    """The state of every part of the server, with what it says about itself."""
    found = await request.app[keys.HEALTH]()
    parts = [(name, part.ok, list(_details(part.detail))) for name, part in found.items()]
    return page(request, "operator/health.html", parts_found=parts, well=all(part.ok for part in found.values()))


def _details(detail: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str]]:
    """What a part says about itself, line by line; what stands under `others` is told as that of others."""
    for key, value in detail.items():
        if isinstance(value, dict):
            yield from _details(value, f"{of}{key}: ")
        else:
            yield f"{of}{key}", _said(key, value)


def _said(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.endswith("bytes"):
        return f"{value:,}"
    return value if isinstance(value, str) else "–" if value is None else orjson.dumps(value).decode()


async def memberships(request: web.Request) -> web.Response:
    """Every membership, or those of one status, of one client, or of partners whose name or id holds what is sought."""
    sought = {name: lists.sought(request, name) for name in ("status", "client", "partner")}
    reader = sessions.reader(request)
    found = [
        m
        for m in reader.memberships()
        if sought["status"] in ("", m.status)
        and sought["client"] in ("", m.client.id)
        and lists.called(m.partner, sought["partner"])
    ]
    found.sort(key=lambda m: (lists.by_name(m.client), lists.by_name(m.partner)))
    return page(
        request,
        "operator/memberships.html",
        form=Form(sought),
        memberships=lists.paged(request, found, ROWS, *sought),
        states=[status.value for status in Status],
        state_names=[(status.value, status.value.capitalize()) for status in Status],
        clients=[(client.id, client.name) for client in sorted(reader.clients(), key=lists.by_name)],
    )


async def set_membership(request: web.Request) -> web.Response:
    """Set a membership's status, if it is still what was seen; or make one."""
    client, partner = request.match_info["client"], request.match_info["partner"]
    who, body = sessions.account(request).who, {"status": posted(request).get("status", "")}
    status = await request.app[keys.REGISTRY].set_member(client, partner, body, who, seen=forms.version(request))
    return see_other(f"{_OPERATOR}/memberships", f"The membership of {partner} with {client} is {status} now.")


async def accounts(request: web.Request) -> web.Response:
    """Who can log in, oldest first. Of partners no contact data is shown: nothing here needs it."""
    return await _accounts(request, Form({"q": lists.sought(request)}))


async def _accounts(request: web.Request, form: Form, path: str = "") -> web.Response:
    role, sought = lists.sought(request, "role"), lists.sought(request).casefold()
    found = [
        account
        for account in await request.app[keys.ACCOUNTS].all()
        if role in ("", account.role) and (sought in account.id or sought in account.subject)
    ]
    return page(
        request,
        "operator/accounts.html",
        form=form,
        accounts=lists.paged(request, found, ROWS, "role", "q"),
        roles=list(Role),
        role=role,
        sought=sought,
        url=request.app[keys.TRACKER_URL] + path if path else "",
        use=await request.app[keys.POLICIES].newest_use(),
    )


async def end_sessions(request: web.Request) -> web.Response:
    """Log an account out everywhere."""
    account = await request.app[keys.ACCOUNTS].account(request.match_info["account"])
    async with noted(request.app[keys.REGISTRY], f"accounts/{account.id}/sessions", None, None, sessions.account(request).who):
        await request.app[keys.SESSIONS].close_all(account.id)
    return see_other(f"{_OPERATOR}/accounts", "All its sessions have ended: whoever used it has to log in again.")


async def invite(request: web.Request) -> web.Response:
    """Invite another operator; the link is shown once, too, for an installation that sends no mail."""
    email = posted(request).get("email", "").strip()
    try:
        path = await request.app[keys.ACCOUNTS].invite(Role.OPERATOR, "", email, sessions.account(request).who)
    except (BadInput, AlreadyExists) as error:
        return await _accounts(request, Form.again(request, error, "email"))
    return await _accounts(request, Form(), path)


async def audit(request: web.Request) -> web.Response:
    """Every change that a person or a program made, newest first, a page at a time."""
    before = request.query.get("before", "")
    try:
        found = await request.app[keys.REGISTRY].audit(ROWS + 1, before)
    except BadInput:
        raise NotFound("There is no such page of the log.") from None
    shown = [entry | {"changes": changes(entry["before"], entry["after"])} for entry in found[:ROWS]]
    older = found[ROWS - 1]["id"] if len(found) > ROWS else ""
    return page(request, "operator/audit.html", entries=shown, older=older, first_page=not before)


PAGES = tuple(
    Page(method, f"/operator{path}", handler, Audience.OPERATOR)
    for method, path, handler in (
        ("GET", "", overview),
        ("GET", "/health", health),
        ("GET", "/memberships", memberships),
        ("POST", "/memberships/{client}/{partner}", set_membership),
        ("GET", "/accounts", accounts),
        ("POST", "/accounts", invite),
        ("POST", "/accounts/{account}/sessions/end", end_sessions),
        ("GET", "/audit", audit),
    )
)
