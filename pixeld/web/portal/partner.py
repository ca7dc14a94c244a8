"""A partner's pages: overview, clients that take applications, memberships, tracking links, transactions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiohttp import web

from pixeld.accounts.policies import PolicyVersion
from pixeld.accounts.reader import Reader
from pixeld.domain import landing
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Client, Status
from pixeld.domain.reports import DEFAULT_DAYS
from pixeld.errors import BadInput, Conflict, NotFound
from pixeld.web import lists
from pixeld.web.portal import figures, keys, sessions
from pixeld.web.portal.forms import Form
from pixeld.web.portal.pages import PREFIX, ROWS, Audience, Page, page, see_other

_PARTNER = f"{PREFIX}/partner"
_NOTES = ("s1", "s2", "s3", "s4", "s5")
_LONGEST = dict.fromkeys(_NOTES, 500) | {"cr": 64, "u": landing.MAX_BYTES}  # what a click keeps of them


async def overview(request: web.Request) -> web.Response:
    """The last 30 days at a glance, and what to do next while there is nothing to see."""
    reader, today = sessions.reader(request), request.app[keys.TODAY]()
    report = await reader.performance({"by": "day", "from": str(today - timedelta(days=DEFAULT_DAYS - 1)), "to": str(today)})
    totals = report["totals"]
    earning = [row["currency"] for row in totals if figures.any_money([row], "commission")]
    currencies = earning or [row["currency"] for row in totals if row["currency"]][:1]
    memberships = reader.memberships()
    policy = await request.app[keys.POLICIES].current()
    return page(
        request,
        "partner/overview.html",
        totals=[row for row in totals if row["currency"] in currencies],
        clicks=figures.total(totals, "clicks"),
        visitors=figures.total(totals, "unique_clicks"),
        orders=figures.total(totals, "orders"),
        currencies=currencies,
        days=figures.days(report["rows"], currencies, today - timedelta(days=DEFAULT_DAYS - 1), today),
        approved=[m for m in memberships if m.status is Status.APPROVED],
        waiting=[m for m in memberships if m.status is Status.APPLIED],
        policy=policy if policy.number > sessions.account(request).accepted and _new(policy, today) else None,
    )


def _new(policy: PolicyVersion, today: date) -> bool:
    """Whether a version was posted so lately that it is news."""
    return (today - datetime.fromtimestamp(policy.posted_ms / 1000, UTC).date()).days <= DEFAULT_DAYS


async def clients(request: web.Request) -> web.Response:
    """The directory: clients that take applications, by name."""
    reader = sessions.reader(request)
    sought = lists.sought(request)
    status = {m.client.id: m.status for m in reader.memberships()}
    shown = [
        (client, landing.host_of(client.landing_url), _terms(reader, client), status.get(client.id))
        for client in sorted(reader.directory(), key=lists.by_name)
        if lists.called(client, sought)
    ]
    return page(request, "partner/clients.html", form=Form({"q": sought}), clients=shown, sought=sought)


def _terms(reader: Reader, client: Client) -> str:
    return figures.terms_text(reader.terms(client), client.currency)


async def apply(request: web.Request) -> web.Response:
    """Apply for a membership with a client of the directory; after an end, too, but not after a refusal."""
    reader, account = sessions.reader(request), sessions.account(request)
    client = next((c for c in reader.directory() if c.id == request.match_info["client"]), None)
    if client is None:
        raise NotFound("This shop takes no applications.")
    found = next((m for m in reader.memberships() if m.client.id == client.id), None)
    if found and found.status is not Status.ENDED:
        raise Conflict("You have applied there already. Its answer is among your memberships.")
    seen = found.version if found else fingerprint(None)
    await request.app[keys.REGISTRY].set_member(client.id, account.subject, {"status": Status.APPLIED}, account.who, seen=seen)
    return see_other(f"{_PARTNER}/memberships", f"You have applied to {client.name}. It decides, and you see it here.")


async def memberships(request: web.Request) -> web.Response:
    """Own memberships and their state."""
    reader = sessions.reader(request)
    shown = [(m.client, m.status, _terms(reader, m.client)) for m in reader.memberships()]
    return page(request, "partner/memberships.html", memberships=sorted(shown, key=lambda each: each[0].name.casefold()))


async def end(request: web.Request) -> web.Response:
    """End a membership, or withdraw an application."""
    reader, account = sessions.reader(request), sessions.account(request)
    client = reader.client(request.match_info["client"])
    found = reader.membership(client.id, account.subject)
    if found.status not in (Status.APPROVED, Status.APPLIED):
        raise Conflict("This membership has ended already.")
    body = {"status": Status.ENDED}
    await request.app[keys.REGISTRY].set_member(client.id, account.subject, body, account.who, seen=found.version)
    return see_other(f"{_PARTNER}/memberships", f"Your membership with {client.name} has ended.")


async def links(request: web.Request) -> web.Response:
    """Tracking links: a question by GET, so that one can be kept as a bookmark. A link is only shown if it would count."""
    reader = sessions.reader(request)
    approved = {m.client.id: m.client for m in reader.memberships() if m.status is Status.APPROVED}
    given = {name: value.strip() for name, value in request.query.items()}
    problems: dict[str, str] = {}
    link = ""
    client = approved.get(given.get("client", ""))
    if "client" in given:
        if client is None:
            problems["client"] = "Choose one of the shops that have approved you."
        elif given.get("u") and not landing.allowed(landing.escaped(given["u"]), client.hosts):
            problems["u"] = f"Give an address such as {_either(client.hosts)}: any other leads to the landing page."
        for name, longest in _LONGEST.items():
            if len(given.get(name, "")) > longest:
                problems[name] = f"This is {len(given[name])} characters long; {longest} are kept."
        if client is not None and not problems:
            query = {name: given[name] for name in _LONGEST if given.get(name)}
            if "u" in query:
                query["u"] = landing.escaped(query["u"])
            base, partner = request.app[keys.TRACKER_URL], sessions.account(request).subject
            link = landing.tracking_link(base, client.id, partner, query)
    options = [(client.id, client.name) for client in sorted(approved.values(), key=lambda c: c.name.casefold())]
    return page(request, "partner/links.html", form=Form(given, problems), clients=options, link=link, notes=_NOTES)


def _either(hosts: frozenset[str]) -> str:
    return " or ".join(f"https://{host}/" for host in sorted(hosts))


async def transactions(request: web.Request) -> web.Response:
    """Orders, newest first, a page at a time."""
    reader, today = sessions.reader(request), request.app[keys.TODAY]()
    asked = {name: value for name in ("days", "client", "cursor") if (value := request.query.get(name, ""))}
    days = asked.get("days", "30")
    params = {name: asked[name] for name in ("client", "cursor") if name in asked} | {"limit": str(ROWS)}
    problems: dict[str, str] = {}
    found: dict[str, Any] = {"rows": [], "next": None}
    try:
        found = await reader.orders(params | figures.period(days, today))
    except BadInput as error:
        problems = {error.field if error.field in ("days", "client") else "": str(error)}
    return page(
        request,
        "partner/transactions.html",
        form=Form({"days": days, "client": asked.get("client", "")}, problems),
        orders=found["rows"],
        next=found["next"],
        first_page="cursor" not in asked,
        names={client.id: client.name for client in reader.clients()},
        periods=figures.PERIODS,
    )


PAGES = tuple(
    Page(method, f"/partner{path}", handler, Audience.PARTNER)
    for method, path, handler in (
        ("GET", "", overview),
        ("GET", "/clients", clients),
        ("POST", "/clients/{client}/apply", apply),
        ("GET", "/memberships", memberships),
        ("POST", "/memberships/{client}/end", end),
        ("GET", "/links", links),
        ("GET", "/transactions", transactions),
    )
)
