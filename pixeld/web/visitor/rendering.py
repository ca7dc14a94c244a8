"""From handler to HTML: one look, one set of headers, and errors that are pages."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from typing import Any

import jinja2
from aiohttp import hdrs, web
from markupsafe import Markup

from pixeld.domain import optout
from pixeld.errors import PixeldError
from pixeld.web.desk import DNT, SEC_GPC, cookies, says_1
from pixeld.web.headers import CSP, csp
from pixeld.web.visitor import keys

DELETE, FORGET, OUT, IN = "delete", "forget", "opt-out", "opt-in"  #: buttons, as forms send them
_DONE = {
    DELETE: "The cookies are deleted.",
    FORGET: "What you bought is forgotten.",
    OUT: "You have opted out.",
    IN: "You have opted in again.",
}  # fmt: skip
_NOT_KEPT = "Your browser did not keep that you have opted out. Allow this site's cookies, use https://, and do it again."
_TITLES = {
    403: "This could not be done",
    404: "There is no such page",
    429: "Too many at once",
    503: "This page cannot be shown right now",
}  # fmt: skip
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_STYLE = "".join(
    resources.files(package).joinpath(*path).read_text("utf-8")
    for package, path in (
        ("pixeld.privacy", ("templates", "privacy.css")),  # one look for all that visitors read
        ("pixeld.web", ("templates", "visitor", "visitor.css")),
    )
)
_SOURCE = f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("pixeld.web", "templates/visitor"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _when(at_s: int) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{at.day} {at:%B %Y}, {at:%H:%M} UTC"


_ENVIRONMENT.filters["when"] = _when
_ENVIRONMENT.globals["style"] = Markup(_STYLE)  # noqa: S704 - our own


def page(request: web.Request, template: str, /, status: int = 200, **values: Any) -> web.Response:
    """A page that no cache keeps and that only pages of ours may frame; its forms tell where they come from."""
    common = {
        "opted_out": opted_out(request),
        "objection": objection(request),
        "done": _done(request),
        "here": request.path,
        "card": False,
    }
    response = web.Response(
        text=_ENVIRONMENT.get_template(template).render(common | values), status=status, content_type="text/html"
    )
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers[hdrs.REFERRER_POLICY] = "same-origin"
    response.headers[CSP] = csp(style_src=_SOURCE, script_src="'none'", frame_src="'self'", frame_ancestors="'self'")
    return _with_policy(request, response)


def see_other(request: web.Request, path: str, *cookies: str) -> web.Response:
    """Send the browser on after a POST, with these `Set-Cookie` headers."""
    response = web.Response(status=303, headers={hdrs.LOCATION: path, hdrs.CACHE_CONTROL: "no-store"})
    for cookie in cookies:
        response.headers.add(hdrs.SET_COOKIE, cookie)
    return _with_policy(request, response)


def _done(request: web.Request) -> str:
    """What a button has done. A browser that keeps no cookies, or a page without TLS, has not opted out."""
    done = request.query.get("done", "")
    return _NOT_KEPT if done == OUT and not opted_out(request) else _DONE.get(done, "")


def _with_policy(request: web.Request, response: web.Response) -> web.Response:
    """Old browsers keep no cookie of a page that has no compact policy."""
    p3p = request.app[keys.SERVICES].p3p
    if p3p is not None:
        response.headers["P3P"] = p3p
    return response


def shown(handler: Handler) -> Handler:
    """The handler; an error of it is a page: what happened, why, what to do."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except PixeldError as error:
            title = _TITLES.get(error.status, "This request cannot be used")
            response = page(request, "error.html", status=error.status, title=title, text=str(error))
            if error.status in (429, 503):
                response.headers[hdrs.RETRY_AFTER] = "5"
            return response

    return handle


def opted_out(request: web.Request) -> bool:
    """Whether the browser has opted out here."""
    return optout.chosen(cookies(request.headers))


def objection(request: web.Request) -> str:
    """The name of the signal by which it objects to being tracked; `""` when it sends none that is obeyed."""
    if says_1(request.headers, SEC_GPC):
        return "Global Privacy Control"
    return "Do Not Track" if request.app[keys.SERVICES].honour_dnt and says_1(request.headers, DNT) else ""
