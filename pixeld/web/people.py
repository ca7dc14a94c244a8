"""The admin API around accounts: invitations, mails, versions of the privacy policy, keys of the vault. Only with `portal`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pixeld.accounts.account import Account, Role
from pixeld.accounts.parties import Parties
from pixeld.errors import BadInput, NotFound
from pixeld.web import keys
from pixeld.web.responses import fields, json, whole

_MAILS, _MOST_MAILS = 50, 1000


async def list_accounts(request: web.Request) -> web.Response:
    """Every account."""
    return json({"accounts": [_shown(account) for account in await _parties(request).accounts.all()]})


async def invite(request: web.Request) -> web.Response:
    """Mail somebody a link to make an account; the link is given as well, to hand it over otherwise."""
    asked = await fields(request, role=str, subject=str, email=str)
    if asked["role"] not in list(Role):
        raise BadInput(f"role must be one of {', '.join(Role)}", "role")
    path = await _parties(request).accounts.invite(Role(asked["role"]), asked["subject"], asked["email"], keys.ADMIN)
    return json({"url": request.app[keys.TRACKER_URL] + path}, 201)


async def first_link(request: web.Request) -> web.Response:
    """A new link for the first operator; null while there is an operator."""
    path = await _parties(request).accounts.first_link()
    return json({"url": None if path is None else request.app[keys.TRACKER_URL] + path}, 201)


async def offer_end_of_totp(request: web.Request) -> web.Response:
    """Mail an account a link by which its second factor ends; whoever follows it needs the password as well."""
    mail = await _parties(request).accounts.offer_end_of_totp(request.match_info["account"], keys.ADMIN)
    return json({"mail": mail}, 201)


async def list_mails(request: web.Request) -> web.Response:
    """The newest mails, newest first, without their text."""
    count = whole(request.query, "count", _MAILS, _MOST_MAILS)
    mails = [mail._asdict() for mail in await _parties(request).outbox.list(count)]
    return json({"mails": [{name: value for name, value in mail.items() if name != "body"} for mail in mails]})


async def read_mail(request: web.Request) -> web.Response:
    """One mail."""
    return json((await _parties(request).outbox.read(request.match_info["mail"]))._asdict())


async def list_policies(request: web.Request) -> web.Response:
    """Every version of the privacy policy, newest first."""
    return json({"policies": [version._asdict() for version in await _parties(request).policies.history()]})


async def post_policy(request: web.Request) -> web.Response:
    """Post a new version, and notify every account."""
    asked = await fields(request, summary=str, changes_use=bool, question=str)
    version = await _parties(request).policies.post(asked["summary"], asked["changes_use"], asked["question"], keys.ADMIN)
    return json(version._asdict(), 201)


async def rotate(request: web.Request) -> web.Response:
    """Move everything that is encrypted to the newest key; where keys are the data directory's own, to a new one."""
    return json((await _parties(request).rotate(keys.ADMIN))._asdict())


ROUTES = [
    web.get("/api/accounts", list_accounts),
    web.post("/api/accounts/invitations", invite),
    web.post("/api/accounts/first-link", first_link),
    web.post("/api/accounts/{account}/end-two-factor", offer_end_of_totp),
    web.get("/api/mails", list_mails),
    web.get("/api/mails/{mail}", read_mail),
    web.get("/api/policies", list_policies),
    web.post("/api/policies", post_policy),
    web.post("/api/vault/rotate", rotate),
]


def _parties(request: web.Request) -> Parties:
    if keys.PARTIES not in request.app:
        raise NotFound("this server serves no people; set PIXELD_PORTAL=true and start it again")
    return request.app[keys.PARTIES]


def _shown(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "role": account.role,
        "subject": account.subject,
        "email": account.contact.email,
        "totp": account.totp,
        "created_ms": account.created_ms,
    }
