"""The portal: server-rendered pages for partners, clients and operators, and the home page. Works without JavaScript.

How a page is added:

1. Write its handler in the module of its audience (`partner.py`, `client.py`, `operator.py`; `account.py` is for everybody
   who has logged in, `entry.py` for those who haven't): `async def name(request) -> web.StreamResponse`. It ends with
   `pages.page(request, "template.html", form=…, …)` or, after a POST, with `pages.see_other(request, "/portal/…", "What was
   done.")`, whose text is shown once.
2. Add `Page(method, path, handler, audience)` to that module's `PAGES`; a new module goes into `_MODULES` below. The
   audience is checked, and the CSRF token of every POST, before the handler runs: who hasn't logged in is asked to, and to
   another role the page does not exist (404).
3. Put it into `navigation.MENUS` if the menu of its audience should have it.
4. Write its template in `web/templates/portal/`: `{% extends "layout.html" %}`, blocks `title` and `main`; forms by the
   macros of `forms.html` (`{% import "forms.html" as f with context %}`; `{% call f.post(…) %}` puts the token in), tables
   and figures by those of `parts.html`.

What a handler uses: `sessions.current(request)` is who has logged in, `sessions.reader(request)` what they may read,
`request.app[keys.…]` the services, `forms.posted(request)` the fields of a POST. A form that is wrong is the same page again:
`except InvalidForm as error: return pages.page(…, form=Form.again(request, error))`. Any other PixeldError becomes a page of
its status by itself (`errors.py`): nothing needs to catch NotFound, Forbidden, TooMany or Unavailable.
"""

from __future__ import annotations

from aiohttp import web

from pixeld.web.portal import (
    account,
    agreements,
    apikeys,
    assets,
    audience,
    client,
    client_orders,
    client_partners,
    client_settings,
    entry,
    errors,
    homepage,
    keys,
    messages,
    operator,
    operator_mail,
    operator_parties,
    pages,
    partner,
    performance,
)
from pixeld.web.portal.keys import Services

__all__ = ["PREFIX", "Services", "application", "home"]

PREFIX = pages.PREFIX
home = homepage.home
_MODULES = (
    *(entry, account, apikeys, performance, audience, partner, messages, agreements),
    *(client, client_partners, client_orders, client_settings),
    *(operator, operator_parties, operator_mail),
)


def application(services: Services) -> web.Application:
    """The portal, to be mounted at `/portal` in the house (`web/house.py`), which knows addresses and adds headers."""
    app = web.Application(middlewares=[errors.pages])
    keys.install(app, services)
    app.on_response_prepare.append(pages.unkept)
    app.router.add_get("/static/{name:.+}", assets.serve)
    for module in _MODULES:
        for page in module.PAGES:
            add = app.router.add_get if page.method == "GET" else app.router.add_post
            add(page.path, pages.guarded(page))
    return app
