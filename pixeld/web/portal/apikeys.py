"""Keys of the tenants' API: made and shown once, listed with who made them, revoked."""

from __future__ import annotations

from aiohttp import web

from pixeld.accounts.account import Role
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
    account = sessions.account(request)
    found = await request.app[keys.API_KEYS].list(account.scope)
    makers: dict[str, str] = {}  # a partner has one account, which made them all
    if account.role is Role.CLIENT:
        colleagues = await request.app[keys.ACCOUNTS].of_subject(Role.CLIENT, account.subject)
        makers = {each.who: each.contact.contact_name for each in colleagues}
    api = f"{request.app[keys.TRACKER_URL]}/api/v1"
    return page(request, "keys.html", form=form, keys=found, makers=makers, text=text, api=api)


PAGES = (
    Page("GET", "/keys", show, Audience.TENANT),
    Page("POST", "/keys", create, Audience.TENANT),
    Page("POST", "/keys/{key}/revoke", revoke, Audience.TENANT),
)
