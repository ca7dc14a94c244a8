"""One's own account, in every role: contact data, messages, password, second factor, consent, download, removal."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import segno
from aiohttp import web

from pixeld.accounts.account import Account, Role
from pixeld.errors import BadInput, Conflict, InvalidForm
from pixeld.web.portal import forms, keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import CONSENT, PREFIX, Audience, Page, page, see_other

_ACCOUNT = f"{PREFIX}/account"
_TWO_FACTOR = f"{_ACCOUNT}/two-factor"
_LABELS = {"contact_name": "Your name", "email": "E-mail address"}
_PARTNER_LABELS = {
    "name": "Trade name",
    **_LABELS,
    "postal": "Postal address",
    "site": "Your site",
    "promotion": "How you promote",
}


def _labels(account: Account) -> Mapping[str, str]:
    """What an account can correct: field → label."""
    return _PARTNER_LABELS if account.role is Role.PARTNER else _LABELS


def _values(request: web.Request, account: Account) -> dict[str, str]:
    """What stands in those fields now."""
    contact = account.contact
    found = {"contact_name": contact.contact_name, "email": contact.email}
    if account.role is Role.PARTNER:
        name = sessions.reader(request).partner(account.subject).name
        found |= {"name": name, "postal": contact.address, "site": contact.site, "promotion": contact.promotion}
    return found


async def show(request: web.Request) -> web.Response:
    """Everything that is held about who has logged in, and where to change it."""
    account = sessions.account(request)
    return await _show(request, account, Form({**_values(request, account), "version": str(account.version)}))


async def _show(request: web.Request, account: Account, form: Form) -> web.Response:
    questions = [version for version in await request.app[keys.POLICIES].history() if version.question]
    return page(request, "account.html", form=form, subject=account.subject, questions=questions, uses=account.uses)


async def correct(request: web.Request) -> web.Response:
    """Change contact data; what somebody else has changed meanwhile is shown beside what was typed, and stays."""
    account, accounts = sessions.account(request), request.app[keys.ACCOUNTS]
    labels = _labels(account)
    changes = {name: text for name, text in posted(request).items() if name in labels}
    try:
        await accounts.correct(account, changes, forms.version(request), posted(request).get("password", ""))
    except Conflict:
        now = await accounts.account(account.id)
        return await _show(request, now, Form(changes).conflict(_values(request, now), now.version, labels))
    except BadInput as error:
        return await _show(request, account, Form.again(request, error))
    moved = changes.get("email", "").strip() not in ("", account.contact.email)
    said = "Saved. The new e-mail address counts once you follow the link that we have sent there." if moved else "Saved."
    return see_other(_ACCOUNT, said)


async def messages(request: web.Request) -> web.Response:
    """Whether clients may write about other programmes."""
    allowed = posted(request).get("other_programmes") == "yes"
    await request.app[keys.ACCOUNTS].set_other_programmes(sessions.account(request), allowed)
    said = "Other shops may write to you." if allowed else "Other shops can't write to you any more."
    return see_other(_ACCOUNT, f"Saved. {said}")


async def password_form(request: web.Request) -> web.Response:
    """The old password and a new one."""
    return page(request, "password.html")


async def password(request: web.Request) -> web.Response:
    """Change it: every session ends, and this browser gets a new one."""
    account, form = sessions.account(request), posted(request)
    try:
        await request.app[keys.ACCOUNTS].change_password(account, form.get("old", ""), form.get("new", ""))
    except BadInput as error:
        return page(request, "password.html", form=Form.again(request, error))
    response = see_other(_ACCOUNT, "Your password is changed. Other devices have been logged out.")
    sessions.remember(response, await request.app[keys.SESSIONS].open(account.id))
    return response


async def two_factor(request: web.Request) -> web.Response:
    """Whether codes are wanted at log-in, and the way to change it."""
    return page(request, "two_factor.html")


async def begin_two_factor(request: web.Request) -> web.Response:
    """A secret for an authenticator app: as a picture, and as text."""
    account, given = sessions.account(request), posted(request).get("password", "")
    try:
        secret, uri = await request.app[keys.ACCOUNTS].begin_totp(account, given)
    except BadInput as error:
        return page(request, "two_factor.html", form=Form.again(request, error))
    return _secret(request, Form({"secret": secret, "uri": uri}))


async def confirm_two_factor(request: web.Request) -> web.Response:
    """A first code shows that the app has the secret; from now on codes are wanted. Recovery codes are in the answer to this
    very request, and nowhere after that: so it is no redirect.
    """
    try:
        codes = await request.app[keys.ACCOUNTS].confirm_totp(sessions.account(request), posted(request).get("code", ""))
    except BadInput as error:
        return _secret(request, Form.again(request, error))
    return page(request, "recovery_codes.html", codes=codes, begun=True)


async def recovery_codes_form(request: web.Request) -> web.Response:
    """What recovery codes are for, and the password that takes new ones."""
    return page(request, "recovery_codes.html", codes=[], begun=False)


async def renew_recovery_codes(request: web.Request) -> web.Response:
    """New recovery codes, shown in this answer only; the old ones end."""
    account, given = sessions.account(request), posted(request).get("password", "")
    try:
        codes = await request.app[keys.ACCOUNTS].renew_recovery_codes(account, given)
    except BadInput as error:
        return page(request, "recovery_codes.html", form=Form.again(request, error), codes=[], begun=False)
    return page(request, "recovery_codes.html", codes=codes, begun=False)


def _secret(request: web.Request, form: Form) -> web.Response:
    """The form brings the secret back, so that a mistyped code doesn't ask for another scan. What counts is the stored one."""
    if not form.values.get("uri", "").startswith("otpauth://"):
        raise BadInput("This form lacks its secret. Begin the set-up again.")
    picture = segno.make(form.values["uri"][:500], micro=False).svg_data_uri(border=2)
    return page(request, "two_factor_setup.html", form=form, picture=picture)


async def end_two_factor(request: web.Request) -> web.Response:
    """Codes are wanted no more."""
    try:
        await request.app[keys.ACCOUNTS].end_totp(sessions.account(request), posted(request).get("password", ""))
    except BadInput as error:
        return page(request, "two_factor.html", form=Form.again(request, error))
    return see_other(_TWO_FACTOR, "Two-factor log-in is off.")


async def question(request: web.Request) -> web.Response:
    """What a new version of the policy asks, before anything else."""
    asked = await request.app[keys.POLICIES].question_for(sessions.account(request))
    return page(request, "consent.html", policy=asked, menu=()) if asked else see_other(f"{PREFIX}/")


async def answer(request: web.Request) -> web.Response:
    """Remember the answer; it can be given anew from the account's page."""
    form = posted(request)
    number, said = form.get("policy", ""), form.get("answer", "")
    if said not in ("yes", "no") or not (number.isascii() and number.isdigit() and len(number) < 10):
        return see_other(CONSENT, "Please choose one of the two answers.")
    await request.app[keys.POLICIES].consent(sessions.account(request), int(number), said == "yes")
    return see_other(f"{PREFIX}/" if form.get("from") != "account" else _ACCOUNT, "Your answer is noted.")


async def download(request: web.Request) -> web.Response:
    """Everything that is held about the account, as a JSON file."""
    held = await request.app[keys.ACCOUNTS].export(sessions.account(request))
    body = orjson.dumps(held, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    name = f'attachment; filename="pixeld-{sessions.account(request).subject or "account"}.json"'
    return web.Response(body=body, content_type="application/json", headers={"Content-Disposition": name})


def _word(account: Account) -> str:
    """What has to be typed to remove an account: the partner's id; others' accounts have none but their address."""
    return account.subject if account.role is Role.PARTNER else account.contact.email


async def remove_form(request: web.Request) -> web.Response:
    """What a removal erases, and what stays."""
    return await _removal(request, Form())


async def remove(request: web.Request) -> web.Response:
    """Erase the account, once its password and its id are given."""
    account, form = sessions.account(request), posted(request)
    word = _word(account)
    try:
        if form.get("word", "").strip() != word:
            raise InvalidForm({"word": f"Type {word} here, exactly."})
        await request.app[keys.ACCOUNTS].remove(account, form.get("password", ""))
    except BadInput as error:
        return await _removal(request, Form.again(request, error))
    response = see_other(f"{PREFIX}/login", "Your account is removed, and your personal data is erased.")
    sessions.forget(response)
    return response


async def _removal(request: web.Request, form: Form) -> web.Response:
    account = sessions.account(request)
    made = [] if account.role is Role.OPERATOR else await request.app[keys.API_KEYS].made_by(account)
    return page(request, "remove.html", form=form, word=_word(account), keys=made)


PAGES = tuple(
    Page(method, path, handler, Audience.PARTNER if handler is messages else Audience.ACCOUNT)
    for method, path, handler in (
        ("GET", "/account", show),
        ("POST", "/account", correct),
        ("POST", "/account/messages", messages),
        ("GET", "/account/password", password_form),
        ("POST", "/account/password", password),
        ("GET", "/account/two-factor", two_factor),
        ("POST", "/account/two-factor/begin", begin_two_factor),
        ("POST", "/account/two-factor/confirm", confirm_two_factor),
        ("POST", "/account/two-factor/end", end_two_factor),
        ("GET", "/account/two-factor/codes", recovery_codes_form),
        ("POST", "/account/two-factor/codes", renew_recovery_codes),
        ("GET", "/account/data.json", download),
        ("GET", "/account/remove", remove_form),
        ("POST", "/account/remove", remove),
        ("GET", "/consent", question),
        ("POST", "/consent", answer),
    )
)
