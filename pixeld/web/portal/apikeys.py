"""Keys of the tenants' API: made and shown once, listed, revoked. They belong to the partner or the client."""

from __future__ import annotations

from aiohttp import web

from pixeld.errors import BadInput
from pixeld.web.portal import keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, Audience, Page, page, see_other


async def show(request: web.Request) -> web.Response:
    """The keys, and a form for another one."""
    return await _show(request, Form())


async def create(request: web.Request) -> web.Response:
    """Make a key. Its text is in the answer to this very request, and nowhere after that: so it is no redirect."""
    account = sessions.account(request)
    try:
        text, _ = await request.app[keys.API_KEYS].create(account.scope, posted(request).get("name", ""), account.who)
    except BadInput as error:
        return await _show(request, Form.again(request, error))
    return await _show(request, Form(), text)


async def revoke(request: web.Request) -> web.Response:
    """End a key at once."""
    account = sessions.account(request)
    await request.app[keys.API_KEYS].revoke(account.scope, request.match_info["key"], account.who)
    return see_other(f"{PREFIX}/keys", "The key is revoked. What uses it is refused from now on.")


async def _show(request: web.Request, form: Form, text: str = "") -> web.Response:
    found = await request.app[keys.API_KEYS].list(sessions.account(request).scope)
    return page(request, "keys.html", form=form, keys=found, text=text, api=f"{request.app[keys.TRACKER_URL]}/api/v1")


PAGES = (
    Page("GET", "/keys", show, Audience.TENANT),
    Page("POST", "/keys", create, Audience.TENANT),
    Page("POST", "/keys/{key}/revoke", revoke, Audience.TENANT),
)
