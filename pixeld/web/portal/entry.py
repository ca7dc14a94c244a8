"""The ways in and out: registration and its confirmation, log-in and log-out, a new password, an invitation's welcome.

What a mail links to shows a button first: programs that look through mails open links, and must not use them up.
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from pixeld.errors import BadInput, CodeNeeded, NotFound, Unauthorized
from pixeld.web.house import address
from pixeld.web.portal import keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import LOGIN, PREFIX, Audience, Page, page, see_other


async def register_form(request: web.Request) -> web.Response:
    """The registration of a partner."""
    return await _registration(request, Form())


async def register(request: web.Request) -> web.Response:
    """Take a registration; whether the address is known already is told by mail only."""
    try:
        await request.app[keys.ACCOUNTS].register(posted(request), address(request))
    except BadInput as error:
        form = Form.again(request, error)
        problems = {"terms" if name == "policy" else name: problem for name, problem in form.problems.items()}
        return await _registration(request, replace(form, problems=problems))
    return see_other(f"{PREFIX}/registered")


async def _registration(request: web.Request, form: Form) -> web.Response:
    policy = await request.app[keys.POLICIES].current()
    return page(request, "register.html", form=form, policy=policy)


async def registered(request: web.Request) -> web.Response:
    """Look into your mail."""
    return page(request, "registered.html")


async def terms(request: web.Request) -> web.Response:
    """What partners agree to."""
    return page(request, "terms.html")


async def confirm_form(request: web.Request) -> web.Response:
    """What the link is about, and the password: a new one with a registration, else the account's."""
    return await _confirmation(request, Form())


async def confirm(request: web.Request) -> web.Response:
    """The address is confirmed: on to log-in."""
    try:
        await request.app[keys.ACCOUNTS].confirm(request.match_info["token"], posted(request).get("password", ""))
    except (NotFound, Unauthorized):
        return page(request, "old_link.html", status=404, what="confirm")
    except BadInput as error:
        return await _confirmation(request, Form.again(request, error))
    return see_other(LOGIN, f"Your e-mail address is confirmed.{'' if request[keys.SESSION] else ' You can log in now.'}")


async def _confirmation(request: web.Request, form: Form) -> web.Response:
    awaiting = await request.app[keys.ACCOUNTS].awaiting(request.match_info["token"])
    if awaiting is None:
        return page(request, "old_link.html", status=404, what="confirm")
    return page(request, "confirm.html", form=form, action=request.path, awaiting=awaiting)


async def log_in_form(request: web.Request) -> web.StreamResponse:
    """Address and password; who is in already goes to their pages."""
    if request[keys.SESSION] is not None:
        return see_other(_next(request.query.get("next", "")))
    return page(request, "login.html", form=Form({"next": request.query.get("next", "")}), code=False)


async def log_in(request: web.Request) -> web.StreamResponse:
    """Open a session, under a new cookie. An account with a second factor is asked for its code in a second step."""
    form = posted(request)
    given = (form.get("email", ""), form.get("password", ""), form.get("code", "") or form.get("recovery", ""))
    values = {"email": given[0], "next": form.get("next", "")}
    try:
        cookie, _ = await request.app[keys.ACCOUNTS].log_in(*given, address(request))
    except CodeNeeded as error:
        problems = {"code": str(error)} if given[2] else {}
        return page(request, "login.html", status=401, form=Form(values, problems), code=True)
    except Unauthorized as error:
        return page(request, "login.html", status=401, form=Form(values, {"email": str(error)}), code="code" in form)
    await _close(request)
    response = see_other(_next(values["next"]))
    sessions.remember(response, cookie)
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session, here and on the server."""
    await _close(request)
    response = see_other(LOGIN, "You have logged out.")
    sessions.forget(response)
    return response


async def _close(request: web.Request) -> None:
    cookie = request.cookies.get(sessions.COOKIE)
    if cookie and request[keys.SESSION] is not None:
        await request.app[keys.SESSIONS].close(cookie)


async def ask_reset_form(request: web.Request) -> web.Response:
    """Where to send the link that sets a new password."""
    return page(request, "ask_reset.html", form=Form({"email": request.query.get("email", "")}))


async def ask_reset(request: web.Request) -> web.Response:
    """Send the link, if there is such an account; the answer is the same if there isn't."""
    try:
        await request.app[keys.ACCOUNTS].ask_reset(posted(request).get("email", ""), address(request))
    except BadInput as error:
        return page(request, "ask_reset.html", form=Form.again(request, error))
    return page(request, "reset_sent.html")


async def reset_form(request: web.Request) -> web.Response:
    """The new password, behind a link of a mail."""
    if not await request.app[keys.ACCOUNTS].resets(request.match_info["token"]):
        return page(request, "old_link.html", status=404, what="reset")
    return page(request, "reset.html", action=request.path)


async def reset(request: web.Request) -> web.Response:
    """Set it, and end all sessions."""
    try:
        await request.app[keys.ACCOUNTS].reset(request.match_info["token"], posted(request).get("password", ""))
    except (NotFound, Unauthorized):
        return page(request, "old_link.html", status=404, what="reset")
    except BadInput as error:
        return page(request, "reset.html", form=Form.again(request, error), action=request.path)
    return see_other(LOGIN, "Your new password is set. Wherever you were logged in, you have been logged out.")


async def end_two_factor_form(request: web.Request) -> web.Response:
    """The password, behind an operator's link for who has lost the authenticator."""
    if not await request.app[keys.ACCOUNTS].ends_totp(request.match_info["token"]):
        return page(request, "old_link.html", status=404, what="second-factor")
    return page(request, "end_two_factor.html", action=request.path)


async def end_two_factor(request: web.Request) -> web.Response:
    """No code is wanted any more: on to log-in."""
    try:
        await request.app[keys.ACCOUNTS].end_totp_by_link(request.match_info["token"], posted(request).get("password", ""))
    except NotFound:
        return page(request, "old_link.html", status=404, what="second-factor")
    except BadInput as error:
        return page(request, "end_two_factor.html", form=Form.again(request, error), action=request.path)
    return see_other(LOGIN, "Two-factor log-in is off. You can log in with your password now.")


async def welcome_form(request: web.Request) -> web.Response:
    """An invitation: who is invited to what, and the fields of a first log-in."""
    invited = await request.app[keys.ACCOUNTS].invited(request.match_info["token"])
    if invited is None:
        return page(request, "old_link.html", status=404, what="welcome")
    return await _welcome(request, Form({"email": invited[2]}), invited[0], invited[1])


async def welcome(request: web.Request) -> web.Response:
    """Make the account and log in."""
    token = request.match_info["token"]
    accounts = request.app[keys.ACCOUNTS]
    invited = await accounts.invited(token)
    if invited is None:
        return page(request, "old_link.html", status=404, what="welcome")
    try:
        account = await accounts.accept(token, posted(request))
    except NotFound:  # used meanwhile, by a second click
        return page(request, "old_link.html", status=404, what="welcome")
    except BadInput as error:
        return await _welcome(request, Form.again(request, error), invited[0], invited[1])
    await _close(request)
    response = see_other(f"{PREFIX}/", "Welcome. Your account is ready.")
    sessions.remember(response, await request.app[keys.SESSIONS].open(account.id))
    return response


async def _welcome(request: web.Request, form: Form, role: str, subject: str) -> web.Response:
    snapshot = request.app[keys.REGISTRY].snapshot
    client = snapshot.clients.get(subject) if snapshot else None
    policy = await request.app[keys.POLICIES].current()
    name = client.name if client else ""
    return page(request, "welcome.html", form=form, role=role, name=name, policy=policy, action=request.path)


async def front(request: web.Request) -> web.Response:
    """`/portal/` is the overview of whoever has logged in."""
    return see_other(f"{PREFIX}/{sessions.account(request).role}")


def _next(asked: str) -> str:
    """Where a log-in leads: what was asked for, if that is a page of the portal, else the overview."""
    plain = asked.isascii() and asked.isprintable() and not set(asked) & set("\\ ")
    return asked if plain and asked.startswith(f"{PREFIX}/") and not asked.startswith(LOGIN) else f"{PREFIX}/"


_EVERYBODY, _ACCOUNT = Audience.EVERYBODY, Audience.ACCOUNT
PAGES = (
    Page("GET", "", front, _ACCOUNT),
    Page("GET", "/", front, _ACCOUNT),
    Page("GET", "/register", register_form, _EVERYBODY),
    Page("POST", "/register", register, _EVERYBODY),
    Page("GET", "/registered", registered, _EVERYBODY),
    Page("GET", "/terms", terms, _EVERYBODY),
    Page("GET", "/confirm/{token}", confirm_form, _EVERYBODY),
    Page("POST", "/confirm/{token}", confirm, _EVERYBODY),
    Page("GET", "/login", log_in_form, _EVERYBODY),
    Page("POST", "/login", log_in, _EVERYBODY),
    Page("POST", "/logout", log_out, _EVERYBODY),
    Page("GET", "/reset", ask_reset_form, _EVERYBODY),
    Page("POST", "/reset", ask_reset, _EVERYBODY),
    Page("GET", "/reset/{token}", reset_form, _EVERYBODY),
    Page("POST", "/reset/{token}", reset, _EVERYBODY),
    Page("GET", "/second-factor/{token}", end_two_factor_form, _EVERYBODY),
    Page("POST", "/second-factor/{token}", end_two_factor, _EVERYBODY),
    Page("GET", "/welcome/{token}", welcome_form, _EVERYBODY),
    Page("POST", "/welcome/{token}", welcome, _EVERYBODY),
)
