"""The demo: a partner's page, a small shop that carries the pixel, and a plain report. Served by `pixeld demo` only.

The shop does what every shop should: it keeps the click id of its landing page in a cookie of its own and hands it to
the pixel, so that orders are credited in browsers that don't send the referral cookie along.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import jinja2
from aiohttp import web

from pixeld.domain.ports import Registry, Reports
from pixeld.domain.reports import OrdersQuery, PerformanceQuery, Scope
from pixeld.web.headers import CSP, csp
from pixeld.web.keys import Operations
from pixeld.web.responses import without_server

CLIENT = "demo-shop"
PARTNERS = {"coffee-blog": "The coffee blog", "deal-finder": "Deal finder"}
PRODUCTS = {"beans": ("House beans, 1 kg", "24.90"), "mill": ("Hand mill", "79.00"), "kettle": ("Gooseneck kettle", "54.50")}
CURRENCY = "EUR"
_WHO = "demo"
_CLICK_COOKIE = "shop_click"
_MONTH_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Demo:
    """What the pages need: where the tracker is, and whom to ask for the report."""

    tracker_url: str
    reports: Reports
    operations: Operations


DEMO: web.AppKey[Demo] = web.AppKey("demo", Demo)


def application(demo: Demo) -> web.Application:
    """The demo's pages, to be mounted at `/demo`."""
    app = web.Application()
    app[DEMO] = demo
    app.on_response_prepare.append(without_server)
    app.router.add_get("/", partners)
    app.router.add_get("/shop/", shop)
    app.router.add_get("/shop/checkout", checkout)
    app.router.add_post("/shop/order", order)
    app.router.add_get("/shop/thanks", thanks)
    app.router.add_get("/report", report)
    return app


async def register(registry: Registry, shop_url: str) -> None:
    """Make sure that the demo's client, partners and memberships are there, and that the landing page is at `shop_url`."""
    landing_url = f"{shop_url}/demo/shop/"
    assert registry.snapshot is not None
    if CLIENT in registry.snapshot.clients:
        await registry.change_client(CLIENT, {"landing_url": landing_url}, _WHO)
    else:
        shop = {"id": CLIENT, "name": "Demo coffee shop", "landing_url": landing_url, "currency": CURRENCY}
        await registry.add_client(shop, _WHO)
    for partner, name in PARTNERS.items():
        if partner not in registry.snapshot.partners:
            await registry.add_partner({"id": partner, "name": name}, _WHO)
        await registry.set_member(CLIENT, partner, {"status": "approved"}, _WHO)


_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("pixeld.web", "templates/demo"), autoescape=True)


def _page(request: web.Request, template: str, /, **values: Any) -> web.Response:
    tracker = request.app[DEMO].tracker_url
    text = _TEMPLATES.get_template(template).render({"tracker": tracker, "client": CLIENT, "currency": CURRENCY} | values)
    # A shop's own rules: its style stands in its pages, and its pictures are the tracker's pixel.
    own = {CSP: csp(style_src="'unsafe-inline'", img_src=f"{tracker} data:")}
    return web.Response(text=text, content_type="text/html", headers=own)


async def partners(request: web.Request) -> web.Response:
    """Two partners' tracking links."""
    return _page(request, "partners.html", partners=PARTNERS)


async def shop(request: web.Request) -> web.Response:
    """The landing page. A click id in its address goes into the shop's own cookie, and out of the address."""
    click_id = request.query.get("pxid")
    if click_id is None:
        return _page(request, "shop.html", referred=_CLICK_COOKIE in request.cookies, products=PRODUCTS)
    response = web.HTTPFound(request.path)
    response.set_cookie(
        _CLICK_COOKIE, click_id, max_age=_MONTH_S, path="/demo/shop/", httponly=True, samesite="Lax", secure=request.secure
    )
    raise response


async def checkout(request: web.Request) -> web.Response:
    """One product, and a button."""
    product = request.query.get("product", "")
    if product not in PRODUCTS:
        raise web.HTTPNotFound(text="There is no such product in the demo shop.")
    name, price = PRODUCTS[product]
    return _page(request, "checkout.html", product=product, name=name, price=price)


async def order(request: web.Request) -> web.Response:
    """Place the order; its number is in the thank-you page's address, so that a reload is the same order."""
    product = str((await request.post()).get("product", ""))
    if product not in PRODUCTS:
        raise web.HTTPNotFound(text="There is no such product in the demo shop.")
    number = f"D-{secrets.token_hex(4).upper()}"
    raise web.HTTPSeeOther(f"{request.path.removesuffix('order')}thanks?order={number}&product={product}")


async def thanks(request: web.Request) -> web.Response:
    """The thank-you page, with the pixel."""
    number, product = request.query.get("order", ""), request.query.get("product", "")
    if not number or product not in PRODUCTS:
        raise web.HTTPNotFound(text="This address lacks its order; please place one.")
    name, price = PRODUCTS[product]
    click_id = request.cookies.get(_CLICK_COOKIE, "")
    return _page(request, "thanks.html", order=number, name=name, price=price, click=click_id)


async def report(request: web.Request) -> web.Response:
    """What the demo client sees: its traffic and orders by partner."""
    demo = request.app[DEMO]
    today = demo.operations.today()
    clients = {CLIENT: (CURRENCY, "UTC")}
    scope = Scope.client(CLIENT)
    performance = await demo.reports.performance(scope, PerformanceQuery.parse({"by": "partner"}, today=today), clients)
    orders = await demo.reports.orders(scope, OrdersQuery.parse({}, today=today))
    live = "still" not in request.query
    return _page(request, "report.html", performance=performance, orders=orders["rows"], names=PARTNERS, live=live)
