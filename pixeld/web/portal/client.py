"""A client's overview, its pixel, and the colleagues who have accounts; its other pages are in the modules `client_…`."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from aiohttp import web

from pixeld.accounts.account import Role
from pixeld.domain import landing, snippet
from pixeld.domain.registry import Client, Status
from pixeld.domain.reports import DEFAULT_DAYS
from pixeld.errors import AlreadyExists, BadInput
from pixeld.web.portal import figures, keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import LOGIN, PREFIX, Audience, Page, page, see_other

_SOME = 5  # applications that the overview shows; the others are behind a link


def own(request: web.Request) -> Client:
    """The client of whoever has logged in."""
    return sessions.reader(request).client(sessions.account(request).subject)


async def overview(request: web.Request) -> web.Response:
    """The last 30 days at a glance, and what waits for a decision."""
    reader, client, today = sessions.reader(request), own(request), request.app[keys.TODAY]()
    first = today - timedelta(days=DEFAULT_DAYS - 1)
    report = await reader.performance({"by": "day", "from": str(first), "to": str(today)})
    totals = report["totals"]
    currencies = [row["currency"] for row in totals if row["currency"] and row["orders"]] or [client.currency]
    pending = await reader.orders({"status": "pending", "from": str(first), "to": str(today), "limit": "1"})
    agreements = reader.memberships()
    return page(
        request,
        "client/overview.html",
        client=client,
        totals=[row for row in totals if row["currency"] in currencies],
        clicks=figures.total(totals, "clicks"),
        visitors=figures.total(totals, "unique_clicks"),
        orders=figures.total(totals, "orders"),
        pending=figures.total(totals, "orders_pending"),
        any_pending=bool(pending["rows"]),
        currencies=currencies,
        days=figures.days(report["rows"], currencies, first, today, money="revenue"),
        applications=[m for m in agreements if m.status is Status.APPLIED][:_SOME],
        partners=sum(m.status is Status.APPROVED for m in agreements),
        commission=bool(client.commission),
    )


async def pixel(request: web.Request) -> web.Response:
    """The images to paste into the shop's pages, with the client's own id in them."""
    client, base = own(request), request.app[keys.TRACKER_URL]
    return page(
        request,
        "client/pixel.html",
        client=client,
        html=snippet.image(snippet.pixel_url(base, client.id)),
        test=snippet.image(snippet.pixel_url(base, client.id, test=True)),
        beacon=snippet.image(snippet.beacon_url(base, client.id)),
        values=snippet.values(client.currency, client.landing_url, client.click_param, stateless=client.stateless),
        consent=snippet.CONSENT,
        categories=snippet.categories(client.categories) if client.categories else "",
        host=landing.host_of(base),
    )


async def colleagues(request: web.Request) -> web.Response:
    """Who logs in for the client, and a form to invite somebody else."""
    return await _colleagues(request, Form())


async def _colleagues(request: web.Request, form: Form) -> web.Response:
    account = sessions.account(request)
    found = await request.app[keys.ACCOUNTS].of_subject(Role.CLIENT, account.subject)
    made = Counter(key.who for key in await request.app[keys.API_KEYS].list(account.scope))
    return page(request, "client/colleagues.html", form=form, colleagues=found, made=made)


async def invite(request: web.Request) -> web.Response:
    """Mail a colleague a link to make an account."""
    account, email = sessions.account(request), posted(request).get("email", "").strip()
    try:
        await request.app[keys.ACCOUNTS].invite(Role.CLIENT, account.subject, email, account.who, discreet=True)
    except (BadInput, AlreadyExists) as error:
        return await _colleagues(request, Form.again(request, error, "email"))
    said = f"An invitation to {email} is on its way. Its link works for 7 days, once."
    return see_other(f"{PREFIX}/client/colleagues", said)


async def remove_colleague_form(request: web.Request) -> web.Response:
    """Whose account goes, and which keys with it."""
    return await _removal(request, Form())


async def remove_colleague(request: web.Request) -> web.Response:
    """Erase a colleague's account, once one's own password is given."""
    account, password = sessions.account(request), posted(request).get("password", "")
    try:
        await request.app[keys.ACCOUNTS].remove_colleague(account, request.match_info["account"], password)
    except BadInput as error:
        return await _removal(request, Form.again(request, error))
    if request.match_info["account"] != account.id:
        return see_other(f"{PREFIX}/client/colleagues", "The account is removed, and the keys that it made are revoked.")
    response = see_other(LOGIN, "Your account is removed, and your personal data is erased.")
    sessions.forget(response)
    return response


async def _removal(request: web.Request, form: Form) -> web.Response:
    subject, id = sessions.account(request).subject, request.match_info["account"]
    colleague = await request.app[keys.ACCOUNTS].of_client(subject, id)
    made = await request.app[keys.API_KEYS].made_by(colleague)
    return page(request, "client/remove_colleague.html", form=form, colleague=colleague, keys=made, action=request.path)


PAGES = tuple(
    Page(method, f"/client{path}", handler, Audience.CLIENT)
    for method, path, handler in (
        ("GET", "", overview),
        ("GET", "/pixel", pixel),
        ("GET", "/colleagues", colleagues),
        ("POST", "/colleagues", invite),
        ("GET", "/colleagues/{account}/remove", remove_colleague_form),
        ("POST", "/colleagues/{account}/remove", remove_colleague),
    )
)
