"""The mail outbox, and versions of the privacy policy, of which every account is told by mail."""

from __future__ import annotations

from collections import Counter

from aiohttp import web

from pixeld.errors import BadInput, Conflict
from pixeld.web.portal import forms, keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, Audience, Page, page, see_other

_MAIL, _POLICIES = f"{PREFIX}/operator/mail", f"{PREFIX}/operator/policies"
_MOST = 200  # mails on the page


async def outbox(request: web.Request) -> web.Response:
    """The newest mails and what has become of them."""
    found = await request.app[keys.OUTBOX].list(_MOST)
    state = request.query.get("state", "")
    shown = [mail for mail in found if state in ("", mail.state)]
    return page(request, "operator/mail.html", mails=shown, state=state, counts=Counter(mail.state for mail in found))


async def mail(request: web.Request) -> web.Response:
    """One mail. Its text is for those that nothing sends: an operator hands on what is in it."""
    found = await request.app[keys.OUTBOX].read(request.match_info["mail"])
    return page(request, "operator/one_mail.html", mail=found)


async def retry(request: web.Request) -> web.Response:
    """Try to send a mail that waits, now."""
    id = request.match_info["mail"]
    await request.app[keys.OUTBOX].retry(id)
    return see_other(f"{_MAIL}/{id}", "It is being sent; look again in a moment.")


async def policies(request: web.Request) -> web.Response:
    """The versions, who has answered, and a form for the next one."""
    return await _policies(request, Form())


async def _policies(request: web.Request, form: Form, status: int = 200) -> web.Response:
    accounts = await request.app[keys.ACCOUNTS].all()
    shown = []
    for version in await request.app[keys.POLICIES].history():
        answers = Counter(account.uses[version.number] for account in accounts if version.number in account.uses)
        asked = sum(account.created_ms <= version.posted_ms for account in accounts)
        shown.append((version, answers[True], answers[False], asked))
    form = Form({**form.values, "version": str(shown[0][0].number)}, form.problems)
    return page(request, "operator/policies.html", status=status, form=form, versions=shown, accounts=len(accounts))


async def post(request: web.Request) -> web.Response:
    """Post a version: the home page and /privacy show it, and every account gets a mail."""
    form = posted(request)
    changes_use = form.get("changes_use") == "yes"
    question = form.get("question", "") if changes_use else ""
    who = sessions.account(request).who
    try:
        version = await request.app[keys.POLICIES].post(
            form.get("summary", ""), changes_use, question, who, seen=forms.version(request)
        )
    except BadInput as error:
        return await _policies(request, Form.again(request, error))
    except Conflict as error:
        return await _policies(request, Form(form, {"": str(error)}), 409)
    return see_other(_POLICIES, f"Version {version.number} is posted, and every account is told by mail.")


PAGES = tuple(
    Page(method, f"/operator{path}", handler, Audience.OPERATOR)
    for method, path, handler in (
        ("GET", "/mail", outbox),
        ("GET", "/mail/{mail}", mail),
        ("POST", "/mail/{mail}/retry", retry),
        ("GET", "/policies", policies),
        ("POST", "/policies", post),
    )
)
