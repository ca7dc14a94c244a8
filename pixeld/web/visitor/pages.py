"""The handlers of `/my-data` and `/opt-out`, of the whole server and of one shop."""

from __future__ import annotations

import logging

from aiohttp import hdrs, web

from pixeld.domain import optout
from pixeld.domain.registry import Client, Snapshot
from pixeld.domain.tokens import ID
from pixeld.errors import NotFound, TooMany, Unavailable, WarehouseAway, WarehouseRefused
from pixeld.web import house, lists
from pixeld.web.desk import cookies
from pixeld.web.visitor import rendering
from pixeld.web.visitor.cookies import Held
from pixeld.web.visitor.forms import chosen
from pixeld.web.visitor.keys import FRAMES, SERVICES, Services
from pixeld.web.visitor.rendering import DELETE, FORGET, IN, OUT, see_other

log = logging.getLogger(__name__)
MY_DATA, OPT_OUT = "/my-data", "/opt-out"
_SHOP = f"/t/{{client:{ID}}}"


def add_routes(app: web.Application, services: Services) -> None:
    """Add the pages to the house."""
    app[SERVICES] = services
    for path, show, act in (
        (MY_DATA, my_data, choose),
        (OPT_OUT, opt_out, choose),
        (_SHOP + MY_DATA, shop_data, choose_at_shop),
        (_SHOP + OPT_OUT, shop_opt_out, choose_at_shop),
    ):
        app.router.add_get(path, rendering.shown(show), allow_head=True)
        app.router.add_post(path, rendering.shown(act))


async def my_data(request: web.Request) -> web.Response:
    """What there is to know, and every listed shop's page in a frame: a page of them, or those whose names hold `name`."""
    sought = lists.sought(request, "name")
    listed = (client for client in _snapshot(request).clients.values() if client.listed)
    found = sorted((client for client in listed if sought.casefold() in client.name.casefold()), key=lists.by_name)
    shops = lists.paged(request, found, FRAMES, "name")
    return rendering.page(request, "my_data.html", shops=shops, sought=sought)


async def opt_out(request: web.Request) -> web.Response:
    """One button for all shops."""
    return rendering.page(request, "opt_out.html", client=None)


async def shop_opt_out(request: web.Request) -> web.Response:
    """The same button where one shop's cookie is seen, so that it goes at once."""
    client = _client(request)
    return await _with_held(request, "opt_out.html", client)


async def shop_data(request: web.Request) -> web.Response:
    """What this browser holds of one shop; as a card in a frame, or as a page of its own."""
    return await _with_held(request, "shop.html", _client(request))


async def choose(request: web.Request) -> web.Response:
    """Opt out of everything, or in again. The shops' own cookies are seen, and deleted, by the frames that come next."""
    wanted = await chosen(request, OUT, IN)
    return see_other(request, f"{MY_DATA}?done={wanted}", optout.SET if wanted == OUT else optout.UNSET)


async def choose_at_shop(request: web.Request) -> web.Response:
    """What a button on a shop's page does."""
    client = _client(request)
    wanted = await chosen(request, OUT, IN, DELETE, FORGET)
    cookies = [optout.UNSET] if wanted == IN else [optout.SET] if wanted == OUT else []
    if wanted != IN:
        held = _held(request, client)
        await _forget(request, client, held, await _bought(request, client, held))
    if wanted in (OUT, DELETE):
        cookies += request.app[SERVICES].cookies.deletions(client.id)
    card = "&view=card" if _card(request) else ""
    return see_other(request, f"{request.path}?done={wanted}{card}", *cookies)


async def _with_held(request: web.Request, template: str, client: Client) -> web.Response:
    """A shop's page. A browser that wants nothing kept, and holds something all the same, is rid of it with this reply."""
    services, held = request.app[SERVICES], _held(request, client)
    bought, gone = await _bought(request, client, held), bool(held.cookies) and _refuses(request)
    if gone:
        await _forget(request, client, held, bought)
    response = rendering.page(request, template, client=client, held=held, bought=bought, gone=gone, card=_card(request))
    for cookie in services.cookies.deletions(client.id) if gone else ():
        response.headers.add(hdrs.SET_COOKIE, cookie)
    return response


def _held(request: web.Request, client: Client) -> Held:
    services = request.app[SERVICES]
    return Held.of(cookies(request.headers), services.cookies, services.keys, client, _snapshot(request).partners)


async def _bought(request: web.Request, client: Client, held: Held) -> list[str] | None:
    """The categories that are kept of what these clicks bought; None while nobody can say."""
    try:
        return await request.app[SERVICES].affinities.held(client.id, [click.id for click in held.clicks])
    except (WarehouseAway, WarehouseRefused) as error:
        log.warning("a visitor's categories can't be looked up", extra={"reason": str(error)})
        return None


async def _forget(request: web.Request, client: Client, held: Held, bought: list[str] | None) -> None:
    """Have what was bought forgotten, if there can be anything: an order that has just come is found a second later only."""
    if held.clicks and (client.categories or bought is None or bought):
        await request.app[SERVICES].affinities.forget(client.id, [click.id for click in held.clicks])


def _refuses(request: web.Request) -> bool:
    return rendering.opted_out(request) or bool(rendering.objection(request))


def _card(request: web.Request) -> bool:
    return request.query.get("view") == "card"


def _snapshot(request: web.Request) -> Snapshot:
    snapshot = request.app[SERVICES].registry.snapshot
    if snapshot is None:
        raise Unavailable("This server has just started and doesn't know its shops yet. Try again in a few seconds.")
    return snapshot


def _client(request: web.Request) -> Client:
    limiter = request.app[SERVICES].limiter
    if not limiter.allows(house.address(request)):
        why = "Too many pages were asked for from your address. Wait a moment, and load this one again."
        raise TooMany(why, limiter.token_s)
    found = _snapshot(request).clients.get(request.match_info["client"])
    if found is None:
        raise NotFound("No shop here has this address. All shops are on the page “What this browser carries”.")
    return found
