"""Who is asking: the session cookie, and the token that proves that a form came from a page of ours."""

from __future__ import annotations

import hmac
import secrets

from aiohttp import hdrs, web

from pixeld.accounts.account import Account
from pixeld.accounts.reader import Reader
from pixeld.accounts.sessions import Session, Sessions
from pixeld.errors import BadInput
from pixeld.web.portal import keys

COOKIE = "__Host-pixeld"
FORM_COOKIE = "__Host-pixeld-form"  # the token of forms before log-in: the same value comes back in the form
CSRF_FIELD = "csrf"
_TOKEN_LENGTH = 43  # of token_urlsafe(32)
_FORM_TOKEN: web.RequestKey[str] = web.RequestKey("form_token")


async def find(request: web.Request, sessions: Sessions) -> Session | None:
    """The session of the request's cookie, looked up once. QueueAway without Redis."""
    if keys.SESSION not in request:
        cookie = request.cookies.get(COOKIE)
        request[keys.SESSION] = await sessions.find(cookie) if cookie else None
    return request[keys.SESSION]


def current(request: web.Request) -> Session:
    """The session, on pages that are only for those who have one."""
    session = request[keys.SESSION]
    assert session is not None
    return session


def account(request: web.Request) -> Account:
    """Who has logged in, on pages that are only for those who have."""
    return current(request).account


def reader(request: web.Request) -> Reader:
    """What the one who has logged in may read, and nothing else."""
    app, who = request.app, account(request)
    return Reader(who.scope, app[keys.REGISTRY], app[keys.REPORTS], app[keys.TODAY], who.who if app[keys.EXACT] else "")


def remember(response: web.StreamResponse, cookie: str) -> None:
    """Log the browser in."""
    _set(response, COOKIE, cookie)


def forget(response: web.StreamResponse) -> None:
    """Log the browser out."""
    response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")


def csrf(request: web.Request) -> str:
    """The token that a form on this page has to bring along. Before log-in it is made on the first call."""
    session: Session | None = request.get(keys.SESSION)
    if session is not None:
        return session.csrf
    if _FORM_TOKEN not in request:
        given = _form_cookie(request)
        request[_FORM_TOKEN] = given if len(given) == _TOKEN_LENGTH else secrets.token_urlsafe(32)
    return request[_FORM_TOKEN]


def keep_csrf(request: web.Request, response: web.StreamResponse) -> None:
    """Give the browser the token that a page was made with, if it doesn't have it."""
    token = request.get(_FORM_TOKEN)
    if token is not None and request.cookies.get(FORM_COOKIE) != token:
        _set(response, FORM_COOKIE, token)


def check_csrf(request: web.Request, given: str) -> None:
    """BadInput unless the form came from a page that this browser got from us."""
    session = request.get(keys.SESSION)
    expected = session.csrf if session is not None else _form_cookie(request)
    if len(expected) < _TOKEN_LENGTH // 2 or not hmac.compare_digest(given.encode(), expected.encode()):
        raise BadInput(
            "This form has been open for too long, or you have logged in or out since. Go back, load the page again, and send "
            "it once more; nothing has been changed."
        )


def _form_cookie(request: web.Request) -> str:
    given = request.cookies.get(FORM_COOKIE, "")
    return given if given.isascii() else ""  # bytes that are no UTF-8 can neither be compared nor shown


def _set(response: web.StreamResponse, name: str, value: str) -> None:
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite="Lax")


def form_encoded(request: web.Request) -> bool:
    """Whether the body is what an ordinary form sends, in the one encoding of our pages."""
    if (request.charset or "utf-8").lower() != "utf-8":
        return False
    return request.content_type == "application/x-www-form-urlencoded" or not request.headers.get(hdrs.CONTENT_TYPE)
