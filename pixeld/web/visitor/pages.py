"""The handlers of `/my-data` and `/opt-out`, of the whole server and of one shop."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from typing import Any
from urllib.parse import urlencode

import jinja2
from aiohttp import hdrs, web
from markupsafe import Markup

from pixeld.domain import optout
from pixeld.domain.ports import Registry
from pixeld.domain.registry import Client, Snapshot
from pixeld.domain.tokens import ID, Keyring
from pixeld.errors import NotFound, PixeldError, Unavailable
from pixeld.web.headers import CSP, csp
from pixeld.web.visitor.cookies import Held, Jar
from pixeld.web.visitor.forms import chosen

log = logging.getLogger(__name__)
MY_DATA, OPT_OUT = "/my-data", "/opt-out"
_SHOP = f"/t/{{client:{ID}}}"
FRAMES = 24  #: shops on one page, each in a frame of its own
_MAX_NAME = 100  # characters of a filter
_DELETE, _OUT, _IN = "delete", "opt-out", "opt-in"  # buttons, as forms send them
_DONE = {
    _DELETE: "The cookies are deleted.",
    _OUT: "You have opted out.",
    _IN: "You have opted in again.",
}  # fmt: skip
_TITLES = {403: "This could not be done", 404: "There is no such page", 503: "This page cannot be shown right now"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the pages are made of. `p3p` is the P3P header's value, None when P3P is off."""

    registry: Registry
    keys: Keyring
    jar: Jar
    p3p: str | None


_SERVICES: web.AppKey[Services] = web.AppKey("visitor", Services)


def add_routes(app: web.Application, services: Services) -> None:
    """Add the pages to the house."""
    app[_SERVICES] = services
    for path, show, act in (
        (MY_DATA, my_data, choose),
        (OPT_OUT, opt_out, choose),
        (_SHOP + MY_DATA, shop_data, choose_at_shop),
        (_SHOP + OPT_OUT, shop_opt_out, choose_at_shop),
    ):
        app.router.add_get(path, _shown(show), allow_head=True)
        app.router.add_post(path, _shown(act))


async def my_data(request: web.Request) -> web.Response:
    """What there is to know, and every listed shop's page in a frame: a page of them, or those whose names hold `name`."""
    sought = request.query.get("name", "").strip()[:_MAX_NAME]
    listed = (client for client in _snapshot(request).clients.values() if client.listed)
    found = sorted(
        (client for client in listed if sought.casefold() in client.name.casefold()),
        key=lambda client: (client.name.casefold(), client.id),
    )
    pages = max(1, -(-len(found) // FRAMES))
    text = request.query.get("page", "1")
    page = min(max(int(text), 1), pages) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
    shown = found[(page - 1) * FRAMES : page * FRAMES]
    near = {n: f"{MY_DATA}?{urlencode({'name': sought, 'page': n})}" for n in (page - 1, page + 1) if 1 <= n <= pages}
    return _page(request, "my_data.html", shops=shown, sought=sought, count=len(found), page=page, pages=pages, near=near)


async def opt_out(request: web.Request) -> web.Response:
    """One button for all shops."""
    return _page(request, "opt_out.html", client=None)


async def shop_opt_out(request: web.Request) -> web.Response:
    """The same button where one shop's cookie is seen, so that it goes at once."""
    client = _client(request)
    return await _with_held(request, "opt_out.html", client)


async def shop_data(request: web.Request) -> web.Response:
    """What this browser holds of one shop; as a card in a frame, or as a page of its own."""
    return await _with_held(request, "shop.html", _client(request))


async def choose(request: web.Request) -> web.Response:
    """Opt out of everything, or in again. The shops' own cookies are seen, and deleted, by the frames that come next."""
    wanted = await chosen(request, _OUT, _IN)
    return _see_other(f"{MY_DATA}?done={wanted}", optout.SET if wanted == _OUT else optout.UNSET)


async def choose_at_shop(request: web.Request) -> web.Response:
    """What a button on a shop's page does."""
    client = _client(request)
    wanted = await chosen(request, _OUT, _IN, _DELETE)
    cookies = [optout.UNSET] if wanted == _IN else [optout.SET] if wanted == _OUT else []
    if wanted != _IN:
        cookies += request.app[_SERVICES].jar.deletions(client.id)
    card = "&view=card" if _card(request) else ""
    return _see_other(f"{request.path}?done={wanted}{card}", *cookies)


async def _with_held(request: web.Request, template: str, client: Client) -> web.Response:
    """A shop's page. A browser that wants nothing kept, and holds something all the same, is rid of it with this reply."""
    services, held = request.app[_SERVICES], _held(request, client)
    gone = bool(held.cookies) and _refuses(request)
    response = _page(request, template, client=client, held=held, gone=gone, card=_card(request))
    for cookie in services.jar.deletions(client.id) if gone else ():
        response.headers.add(hdrs.SET_COOKIE, cookie)
    return response


def _held(request: web.Request, client: Client) -> Held:
    services = request.app[_SERVICES]
    header = request.headers.get(hdrs.COOKIE, "")
    return services.jar.held(header, services.keys, client, _snapshot(request).partners)


def _refuses(request: web.Request) -> bool:
    return _opted_out(request) or _gpc(request)


def _opted_out(request: web.Request) -> bool:
    return optout.chosen(request.headers.get(hdrs.COOKIE, ""))


def _gpc(request: web.Request) -> bool:
    return request.headers.get("Sec-GPC") == "1"


def _card(request: web.Request) -> bool:
    return request.query.get("view") == "card"


def _snapshot(request: web.Request) -> Snapshot:
    snapshot = request.app[_SERVICES].registry.snapshot
    if snapshot is None:
        raise Unavailable("This server has just started and doesn't know its shops yet. Try again in a few seconds.")
    return snapshot


def _client(request: web.Request) -> Client:
    found = _snapshot(request).clients.get(request.match_info["client"])
    if found is None:
        raise NotFound("No shop here has this address. All shops are on the page “What this browser carries”.")
    return found


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


def _page(request: web.Request, template: str, /, status: int = 200, **values: Any) -> web.Response:
    """A page that no cache keeps and that only pages of ours may frame; its forms tell where they come from."""
    common = {
        "opted_out": _opted_out(request),
        "gpc": _gpc(request),
        "done": _DONE.get(request.query.get("done", ""), ""),
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


def _see_other(path: str, *cookies: str) -> web.Response:
    response = web.Response(status=303, headers={hdrs.LOCATION: path, hdrs.CACHE_CONTROL: "no-store"})
    for cookie in cookies:
        response.headers.add(hdrs.SET_COOKIE, cookie)
    return response


def _with_policy(request: web.Request, response: web.Response) -> web.Response:
    """Old browsers keep no cookie of a page that has no compact policy."""
    p3p = request.app[_SERVICES].p3p
    if p3p is not None:
        response.headers["P3P"] = p3p
    return response


def _shown(handler: Handler) -> Handler:
    """The handler; an error of it is a page: what happened, why, what to do."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except PixeldError as error:
            title = _TITLES.get(error.status, "This request cannot be used")
            response = _page(request, "error.html", status=error.status, title=title, text=str(error))
            if error.status == 503:
                response.headers[hdrs.RETRY_AFTER] = "5"
            return response

    return handle
