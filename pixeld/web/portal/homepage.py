"""The home page: what this network is, for partners and for shops, how privacy is kept, and the ways in."""

from __future__ import annotations

from aiohttp import web

from pixeld.errors import QueueAway
from pixeld.web.portal import keys, pages, sessions
from pixeld.web.portal.forms import Form
from pixeld.web.portal.keys import Services


def home(services: Services) -> pages.Handler:
    """The handler of `GET /`. The page is there without Redis, too; what has to be read is then left out."""

    async def page(request: web.Request) -> web.StreamResponse:
        try:
            await sessions.find(request, services.parties.sessions)
            policy = await services.parties.policies.current()
        except QueueAway:
            request[keys.SESSION] = policy = None
        text = pages.render(request, "home.html", form=Form(), policy=policy, menu=())
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    return page
