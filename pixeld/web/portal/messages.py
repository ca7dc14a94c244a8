"""Messages: a client writes to its partners, a partner to its clients; neither learns the other's address."""

from __future__ import annotations

from aiohttp import web

from pixeld.accounts.messages import About
from pixeld.domain.registry import Status
from pixeld.errors import BadInput, Forbidden, InvalidForm, TooMany
from pixeld.web.portal import keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, Audience, Page, page, see_other

_TOLD = 5  # of those who weren't sent a message, in the notice above the next page
_EVERYBODY = "*"  # in place of a partner's id: all approved partners
_ABOUT = ((About.OWN.value, "Our own programme"), (About.OTHER.value, "Another programme"))


async def to_partners(request: web.Request) -> web.Response:
    """A client's form for a message."""
    return _to_partners(request, Form({"partner": request.query.get("partner", ""), "about": About.OWN.value}))


def _to_partners(request: web.Request, form: Form, status: int = 200, refused: tuple[str, ...] = ()) -> web.Response:
    found = sorted(sessions.reader(request).memberships(), key=lambda m: (m.status is not Status.APPROVED, m.partner.name))
    approved = sum(m.status is Status.APPROVED for m in found)
    options = [
        (m.partner.id, m.partner.name if m.status is Status.APPROVED else f"{m.partner.name} ({m.status})") for m in found
    ]
    if approved > 1:
        options.insert(0, (_EVERYBODY, f"All approved partners ({approved})"))
    return page(request, "client/messages.html", status=status, form=form, partners=options, about=_ABOUT, refused=refused)


async def send_to_partners(request: web.Request) -> web.Response:
    """Send it to whom it may be sent, and tell plainly to whom it was not."""
    form, account = posted(request), sessions.account(request)
    members = sessions.reader(request).memberships()
    to = form.get("partner", "")
    chosen = [m for m in members if m.partner.id == to or (to == _EVERYBODY and m.status is Status.APPROVED)]
    refused, sent = [], 0
    try:
        if form.get("about") not in tuple(About):
            raise InvalidForm({"about": "Choose what it is about."})
        if not chosen:
            if to not in ("", _EVERYBODY):
                sessions.reader(request).membership(account.subject, to)  # NotFound
            raise InvalidForm({"partner": "Choose whom you write to."})
        for member in chosen:
            try:
                await request.app[keys.MESSAGES].to_partner(
                    account.subject, member.partner.id, About(form["about"]), form, account.who
                )
                sent += 1
            except Forbidden as error:
                refused.append(str(error))
            except TooMany as error:
                refused.append(f"{member.partner.name}: {error}")
    except BadInput as error:
        return _to_partners(request, Form.again(request, error))
    if refused and not sent:
        return _to_partners(request, Form(form), 403, tuple(refused))
    done = f"Sent to {chosen[0].partner.name}." if len(chosen) == 1 else f"Sent to {sent} of {len(chosen)} partners."
    return see_other(f"{PREFIX}/client/messages", " ".join([done, *(f"Not sent: {text}." for text in refused[:_TOLD])]))


async def to_client(request: web.Request) -> web.Response:
    """A partner's form for a message to a client."""
    return _to_client(request, Form())


def _to_client(request: web.Request, form: Form) -> web.Response:
    client = sessions.reader(request).client(request.match_info["client"])
    return page(request, "partner/message.html", form=form, client=client)


async def send_to_client(request: web.Request) -> web.Response:
    """Send it; to a client that takes none it is refused."""
    account = sessions.account(request)
    client = sessions.reader(request).client(request.match_info["client"])
    try:
        await request.app[keys.MESSAGES].to_client(account.subject, client.id, posted(request), account.who)
    except BadInput as error:
        return _to_client(request, Form.again(request, error))
    return see_other(f"{PREFIX}/partner/memberships", f"Your message to {client.name} is on its way.")


PAGES = (
    Page("GET", "/client/messages", to_partners, Audience.CLIENT),
    Page("POST", "/client/messages", send_to_partners, Audience.CLIENT),
    Page("GET", "/partner/messages/{client}", to_client, Audience.PARTNER),
    Page("POST", "/partner/messages/{client}", send_to_client, Audience.PARTNER),
)
