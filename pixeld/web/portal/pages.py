"""From handler to HTML: who may have a page, how it is rendered, and where a POST leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import jinja2
from aiohttp import web

from pixeld.accounts.account import Role
from pixeld.errors import BadInput, NotFound, QueueAway, TooMany
from pixeld.web.portal import assets, formats, keys, navigation, sessions
from pixeld.web.portal.forms import Form

PREFIX = "/portal"
LOGIN, CONSENT, LOGOUT = f"{PREFIX}/login", f"{PREFIX}/consent", f"{PREFIX}/logout"
_NOTICE_COOKIE = "__Host-pixeld-notice"
NOTICE_S = 60
_UNSENT = "What you sent was not saved."
ROWS = 50  # of a list on one page: 3,000 memberships on one were 5.6 MB
_WAIT_S = 10.0  # then there is room for some pages again
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Audience(StrEnum):
    """Whom a page is for. Roles have the names that accounts have."""

    EVERYBODY = "everybody"
    ACCOUNT = "account"  # whoever has logged in
    TENANT = "tenant"  # partners and clients
    PARTNER = "partner"
    CLIENT = "client"
    OPERATOR = "operator"

    def admits(self, role: Role) -> bool:
        """Whether somebody who has logged in may have such a page."""
        if self is Audience.TENANT:
            return role is not Role.OPERATOR
        return self in (Audience.EVERYBODY, Audience.ACCOUNT) or self.value == role.value


class Page(NamedTuple):
    """A page, or what a form on it sends: `path` is below /portal."""

    method: str
    path: str
    handler: Handler
    audience: Audience


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("pixeld.web", "templates/portal"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals |= {"asset": assets.address}
_ENVIRONMENT.filters |= formats.FILTERS


def guarded(page: Page) -> Handler:
    """The page's handler, for its audience only, and for forms that come from our pages only."""

    async def handle(request: web.Request) -> web.StreamResponse:
        session = await _session(request, page.audience)
        if page.audience is not Audience.EVERYBODY:
            if session is None:
                return _to_login(request)
            if not page.audience.admits(session.account.role):
                raise NotFound("There is no such page.")  # nor is anybody told that others have it
            if not request.app[keys.LIMITER].allows(session.account.id):
                raise TooMany("Your account asks for more than anybody reads. Wait some seconds, then go on.", _WAIT_S)
            if request.path not in (CONSENT, LOGOUT) and await request.app[keys.POLICIES].question_for(session.account):
                return see_other(CONSENT, _UNSENT if request.method == "POST" else "")
        if request.method == "POST":
            await _take_form(request)
        return await page.handler(request)

    return handle


def page(
    request: web.Request, template: str, /, *, status: int = 200, form: Form | None = None, **values: Any
) -> web.Response:
    """The HTML of a page of whoever asks. With problems in its form it is a 400, with a conflict a 409."""
    form = form or Form()
    if status == 200 and (form.problems or form.changes):
        status = 409 if form.changes else 400
    response = web.Response(text=render(request, template, form=form, **values), status=status, content_type="text/html")
    sessions.keep_csrf(request, response)
    if _NOTICE_COOKIE in request.cookies:
        response.del_cookie(_NOTICE_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    return response


def render(request: web.Request, template: str, /, **values: Any) -> str:
    """The text of a page, with what every page has: who has logged in, their menu, the notice of what was just done."""
    session = request.get(keys.SESSION)
    menu = navigation.MENUS[session.account.role] if session else ()
    common = {
        "account": session.account if session else None,
        "menu": menu,
        "here": navigation.here(menu, request.path),
        "csrf": lambda: sessions.csrf(request),
        "notice": _notice(request),
        "path": request.path,
    }
    return _ENVIRONMENT.get_template(template).render(common | values)


async def unkept(request: web.Request, response: web.StreamResponse) -> None:
    """No cache keeps a page: it is not for whoever sits at the same machine next. Static files say otherwise."""
    response.headers.setdefault("Cache-Control", "no-store")


def see_other(path: str, notice: str = "") -> web.Response:
    """Send the browser on after a POST; `notice` is shown once, on the page that it comes to."""
    response = web.Response(status=303, headers={"Location": path})
    if notice:
        response.set_cookie(
            _NOTICE_COOKIE, quote(notice), max_age=NOTICE_S, path="/", secure=True, httponly=True, samesite="Lax"
        )
    return response


def _notice(request: web.Request) -> str:
    given = request.cookies.get(_NOTICE_COOKIE, "")
    return unquote(given) if given.isascii() else ""


async def _session(request: web.Request, audience: Audience) -> Any:
    try:
        return await sessions.find(request, request.app[keys.SESSIONS])
    except QueueAway:
        if audience is not Audience.EVERYBODY or request.method == "POST":
            raise
        request[keys.SESSION] = None  # pages for everybody are there while Redis isn't
        return None


async def _take_form(request: web.Request) -> None:
    if not sessions.form_encoded(request):
        raise web.HTTPUnsupportedMediaType
    try:
        sent = await request.post()
    except UnicodeDecodeError:
        raise BadInput("This form isn't encoded in UTF-8. Go back, load the page again, and send it once more.") from None
    fields = {name: value for name, value in sent.items() if isinstance(value, str)}
    sessions.check_csrf(request, fields.pop(sessions.CSRF_FIELD, ""))
    request[keys.POSTED] = fields


def _to_login(request: web.Request) -> web.StreamResponse:
    """What was asked for is shown after log-in; what was sent is not sent again by itself."""
    if request.method in ("GET", "HEAD"):
        return see_other(f"{LOGIN}?next={quote(request.path_qs, safe='')}")
    return see_other(LOGIN, f"Please log in first. {_UNSENT}")
