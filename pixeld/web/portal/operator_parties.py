"""Clients and partners as operators see them: registered, changed, invited, removed."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from datetime import date
from typing import Any

from aiohttp import web

from pixeld.accounts.account import Role
from pixeld.domain.commission import in_force
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Client, Partner, Status
from pixeld.errors import AlreadyExists, BadInput, Conflict, InvalidForm
from pixeld.web import lists
from pixeld.web.portal import client_settings, figures, forms, keys, sessions, terms
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, ROWS, Audience, Page, page, see_other

_CLIENTS, _PARTNERS = f"{PREFIX}/operator/clients", f"{PREFIX}/operator/partners"
_CHANGED = tuple(client_settings.LABELS)
_DEFAULTS = {f.name: f.default for f in fields(Client)}


async def clients(request: web.Request) -> web.Response:
    """Every client, or those whose name or id holds what is sought."""
    reader, today, sought = sessions.reader(request), request.app[keys.TODAY](), lists.sought(request)
    approved = Counter(m.client.id for m in reader.memberships() if m.status is Status.APPROVED)
    found = sorted((client for client in reader.clients() if lists.called(client, sought)), key=lists.by_name)
    pages = lists.paged(request, found, ROWS, "q")
    shown = [
        (client, figures.terms_text(in_force(client.commission, today), client.currency), approved[client.id])
        for client in pages.rows
    ]
    return page(request, "operator/clients.html", form=Form({"q": sought}), clients=shown, sought=sought, pages=pages)


async def new_client(request: web.Request) -> web.Response:
    """The registration of a client, once an agreement is made."""
    names = ("currency", "window_days", "timezone", "click_param", "lock_days", "consent", "consent_where")
    return _new(request, Form({name: str(_DEFAULTS[name]) for name in names} | {"listed": "yes", "share_contact": "yes"}))


def _new(request: web.Request, form: Form, status: int = 200) -> web.Response:
    return page(request, "operator/new_client.html", status=status, form=form, **client_settings.choices())


async def register(request: web.Request) -> web.Response:
    """Register it, with what its partners earn from today on."""
    form, today, who = posted(request), request.app[keys.TODAY](), sessions.account(request).who
    try:
        client = await request.app[keys.REGISTRY].add_client(_body(form, today), who)
    except BadInput as error:
        return _new(request, Form.again(request, error))
    except AlreadyExists:
        return _new(request, Form(form, {"id": "This id is taken; choose another one."}), 409)
    return see_other(f"{_CLIENTS}/{client.id}", f"{client.name} is registered. Invite somebody to run it.")


def _body(form: dict[str, str], today: date) -> dict[str, Any]:
    """What registers the client of a form. InvalidForm tells of every field that is wrong."""
    problems: dict[str, str] = {}
    sample = Client("id", "name", "https://shop.example/")

    def check(value: dict[str, Any]) -> None:
        if "id" not in value:
            sample.changed(value)
        else:
            Client(**value, name="name", landing_url="https://shop.example/")

    body: dict[str, Any] = {}
    try:
        body = client_settings.read(form, ("id", *_CHANGED), check)
    except InvalidForm as error:
        problems |= error.problems
    try:
        agreed = terms.read(form, body.get("currency", ""), today) if "currency" in body else None
    except InvalidForm as error:
        problems |= error.problems
    if problems:
        raise InvalidForm(problems)
    if agreed and (agreed.millionths or agreed.flat.strip("0.")):
        body["commission"] = [agreed.to_json()]
    return body | {name: form.get(name) == "yes" for name in ("listed", "share_contact")}


async def client(request: web.Request) -> web.Response:
    """One client: its fields, its accounts, and its agreement."""
    found = sessions.reader(request).client(request.match_info["client"])
    return await _client(request, found, Form({**client_settings.shown(found), "version": str(fingerprint(found.to_json()))}))


async def _client(
    request: web.Request, found: Client, form: Form, invited: Form | None = None, path: str = ""
) -> web.Response:
    today = request.app[keys.TODAY]()
    accounts = await request.app[keys.ACCOUNTS].of_subject(Role.CLIENT, found.id)
    return page(
        request,
        "operator/client.html",
        form=form,
        status=400 if invited and invited.problems else 200,
        client=found,
        accounts=[(account, await request.app[keys.API_KEYS].made_by(account)) for account in accounts],
        pays=figures.terms_text(in_force(found.commission, today), found.currency),
        **client_settings.choices(),
        invited=invited or Form(),
        url=request.app[keys.TRACKER_URL] + path if path else "",
    )


async def change_client(request: web.Request) -> web.Response:
    """Change a client's fields; what somebody else has saved meanwhile is shown beside what was typed, and stays."""
    found, form = sessions.reader(request).client(request.match_info["client"]), posted(request)
    who = sessions.account(request).who
    try:
        values = client_settings.read(form, _CHANGED, found.changed)
        await request.app[keys.REGISTRY].change_client(found.id, values, who, seen=forms.version(request))
    except Conflict:
        now = sessions.reader(request).client(found.id)
        again = Form(form).conflict(client_settings.shown(now), fingerprint(now.to_json()), client_settings.LABELS)
        return await _client(request, now, again)
    except BadInput as error:
        return await _client(request, found, Form.again(request, error))
    return see_other(f"{_CLIENTS}/{found.id}", "Saved.")


async def invite(request: web.Request) -> web.Response:
    """Invite somebody to a client; the link is shown once, too, for an installation that sends no mail."""
    found = sessions.reader(request).client(request.match_info["client"])
    email = posted(request).get("email", "").strip()
    form = Form({**client_settings.shown(found), "version": str(fingerprint(found.to_json()))})
    try:
        path = await request.app[keys.ACCOUNTS].invite(Role.CLIENT, found.id, email, sessions.account(request).who)
    except (BadInput, AlreadyExists) as error:
        return await _client(request, found, form, Form.again(request, error, "email"))
    return await _client(request, found, form, path=path)


async def remove_account(request: web.Request) -> web.Response:
    """Erase one of a client's accounts, and revoke the keys that it made."""
    client, who = request.match_info["client"], sessions.account(request).who
    await request.app[keys.ACCOUNTS].remove_of_client(client, request.match_info["account"], who)
    return see_other(f"{_CLIENTS}/{client}", "The account is removed, and the keys that it made are revoked.")


async def partners(request: web.Request) -> web.Response:
    """Every partner, or those whose name or id holds what is sought."""
    reader, sought = sessions.reader(request), lists.sought(request)
    approved = Counter(m.partner.id for m in reader.memberships() if m.status is Status.APPROVED)
    found = sorted((partner for partner in reader.partners() if lists.called(partner, sought)), key=lists.by_name)
    pages = lists.paged(request, found, ROWS, "q")
    shown = [(partner, approved[partner.id]) for partner in pages.rows]
    return page(request, "operator/partners.html", form=Form({"q": sought}), partners=shown, sought=sought, pages=pages)


async def partner(request: web.Request) -> web.Response:
    """One partner: its name, its memberships, and its removal."""
    found = sessions.reader(request).partner(request.match_info["partner"])
    return await _partner(request, found, Form({"name": found.name, "version": str(fingerprint(found.to_json()))}))


async def _partner(request: web.Request, found: Partner, form: Form) -> web.Response:
    accounts = await request.app[keys.ACCOUNTS].of_subject(Role.PARTNER, found.id)
    members = [m for m in sessions.reader(request).memberships() if m.partner.id == found.id]
    account = accounts[0] if accounts else None
    return page(request, "operator/partner.html", form=form, partner=found, memberships=members, has_account=account)


async def rename(request: web.Request) -> web.Response:
    """Change the name that clients see."""
    found, form = sessions.reader(request).partner(request.match_info["partner"]), posted(request)
    who = sessions.account(request).who
    body = {"name": form.get("name", "").strip()}
    try:
        await request.app[keys.REGISTRY].change_partner(found.id, body, who, seen=forms.version(request))
    except Conflict:
        now = sessions.reader(request).partner(found.id)
        again = Form(form).conflict({"name": now.name}, fingerprint(now.to_json()), {"name": "Name"})
        return await _partner(request, now, again)
    except BadInput:
        return await _partner(request, found, Form(form, {"name": "This must be 1 to 200 characters, on one line."}))
    return see_other(f"{_PARTNERS}/{found.id}", "Saved.")


async def remove(request: web.Request) -> web.Response:
    """Erase a partner's personal data and end its memberships, once its id is typed."""
    found, form = sessions.reader(request).partner(request.match_info["partner"]), posted(request)
    if form.get("word", "").strip() != found.id:
        version = str(fingerprint(found.to_json()))
        again = Form({"name": found.name, "version": version}, {"word": f"Type {found.id} here, exactly."})
        return await _partner(request, found, again)
    await request.app[keys.ACCOUNTS].remove_partner(found.id, sessions.account(request).who)
    return see_other(_PARTNERS, f"{found.id} is removed. What it earned stays under its id.")


PAGES = tuple(
    Page(method, f"/operator{path}", handler, Audience.OPERATOR)
    for method, path, handler in (
        ("GET", "/clients", clients),
        ("GET", "/clients/new", new_client),
        ("POST", "/clients/new", register),
        ("GET", "/clients/{client}", client),
        ("POST", "/clients/{client}", change_client),
        ("POST", "/clients/{client}/invite", invite),
        ("POST", "/clients/{client}/accounts/{account}/remove", remove_account),
        ("GET", "/partners", partners),
        ("GET", "/partners/{partner}", partner),
        ("POST", "/partners/{partner}", rename),
        ("POST", "/partners/{partner}/remove", remove),
    )
)
