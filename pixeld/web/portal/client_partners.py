"""A client's partners: applications first, what is known of each, and the decisions about their memberships."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from aiohttp import web

from pixeld.accounts.account import Contact, Role
from pixeld.accounts.reader import Agreement
from pixeld.domain.commission import in_force
from pixeld.domain.registry import Status
from pixeld.errors import BadInput
from pixeld.web import lists
from pixeld.web.portal import figures, forms, keys, sessions, terms
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, ROWS, Audience, Page, page, see_other

_PARTNERS = f"{PREFIX}/client/partners"
_ORDER = (Status.APPLIED, Status.APPROVED, Status.DECLINED, Status.ENDED)  # what waits for a decision comes first
#: What a client may make of a membership. One that has ended is for the partner to apply for again.
CHANGES: dict[Status, tuple[Status, ...]] = {
    Status.APPLIED: (Status.APPROVED, Status.DECLINED),
    Status.APPROVED: (Status.ENDED,),
    Status.DECLINED: (Status.APPROVED,),
    Status.ENDED: (),
}
_DONE = {
    Status.APPROVED: "{} is approved: its links count from now on.",
    Status.DECLINED: "{} is declined. It sees that in its portal.",
    Status.ENDED: "The membership of {} has ended: its links have stopped counting. What it has earned stays earned.",
}


def _member(request: web.Request) -> Agreement:
    return sessions.reader(request).membership(sessions.account(request).subject, request.match_info["partner"])


async def contact(request: web.Request, partner: str) -> Contact | None:
    """What a partner says about itself; None when it has no account. Its site and how it promotes are for clients' eyes."""
    found = await request.app[keys.ACCOUNTS].of_subject(Role.PARTNER, partner)
    return found[0].contact if found else None


async def show(request: web.Request) -> web.Response:
    """All partners, or those whose name or id holds what is sought; applications first. What partners say about themselves is
    shown of applications, which are decided by it.
    """
    today, sought, memberships = request.app[keys.TODAY](), lists.sought(request), sessions.reader(request).memberships()
    found = [m for m in memberships if lists.called(m.partner, sought)]
    found.sort(key=lambda m: (_ORDER.index(m.status), lists.by_name(m.partner)))
    pages = lists.paged(request, found, ROWS, "q")
    return page(
        request,
        "client/partners.html",
        form=Form({"q": sought}),
        sought=sought,
        some=any(m.status is not Status.APPLIED for m in memberships),
        applied=[(m, await contact(request, m.partner.id)) for m in pages.rows if m.status is Status.APPLIED],
        others=[(m, _pays(m, today)) for m in pages.rows if m.status is not Status.APPLIED],
        pages=pages,
    )


def _pays(found: Agreement, today: date) -> str:
    agreed = in_force(found.commission, today) or in_force(found.client.commission, today)
    return figures.terms_text(agreed, found.client.currency)


async def one(request: web.Request) -> web.Response:
    """One partner: what it says about itself, its terms, and what can be done."""
    found, today = _member(request), request.app[keys.TODAY]()
    return page(
        request,
        "client/partner.html",
        membership=found,
        contact=await contact(request, found.partner.id),
        pays=_pays(found, today),
        own=in_force(found.commission, today) is not None,
        terms=terms.history(found.commission, found.client.currency, today),
        changes=[status.value for status in CHANGES[found.status]],
    )


async def decide(request: web.Request) -> web.Response:
    """Approve, decline or end, if the membership is still what the decider saw. Conflict if it isn't."""
    found, account = _member(request), sessions.account(request)
    asked, allowed = posted(request).get("status", ""), CHANGES[found.status]
    if asked not in tuple(_DONE):
        raise BadInput("This form lacks its decision. Load the page again.")
    version = forms.version(request)
    if version == found.version and Status(asked) not in allowed:
        raise BadInput(f"A membership that is {found.status} cannot become {asked}. {_instead(allowed)}")
    body = {"status": asked}
    await request.app[keys.REGISTRY].set_member(account.subject, found.partner.id, body, account.who, seen=version)
    return see_other(_PARTNERS, _DONE[Status(asked)].format(found.partner.name))


def _instead(allowed: Sequence[Status]) -> str:
    return f"It can become {' or '.join(allowed)}." if allowed else "The partner may apply again."


PAGES = tuple(
    Page(method, f"/client/partners{path}", handler, Audience.CLIENT)
    for method, path, handler in (
        ("GET", "", show),
        ("GET", "/{partner}", one),
        ("POST", "/{partner}/status", decide),
    )
)
