"""What a client decides about itself: where visitors land, how long referrals count, when orders lock, and who sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import available_timezones

from aiohttp import web

from pixeld.domain.consent import Mode, Where
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Client
from pixeld.errors import BadInput, Conflict, InvalidForm
from pixeld.web.portal import client as clients
from pixeld.web.portal import forms, keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, Audience, Page, page, see_other

_SETTINGS = f"{PREFIX}/client/settings"
#: The fields that a form may have: name → label.
LABELS = {
    "name": "Name",
    "landing_url": "Landing page",
    "allowed_hosts": "Other hosts",
    "window_days": "Attribution window",
    "lock_days": "Days to decide",
    "timezone": "Time zone",
    "currency": "Currency",
    "click_param": "Click parameter",
    "stateless": "Without cookies",
    "categories": "Product categories",
    "consent": "Consent",
    "consent_where": "Where consent is required",
}
# The others are the operator's.
_OWN = ("name", "landing_url", "allowed_hosts", "window_days", "lock_days", "timezone", "stateless", "categories")
_LISTS = ("allowed_hosts", "categories")
# In words: (value, text).
_CONSENT = (
    (Mode.OPERATOR_ASSERTS.value, "The operator answers for it that visitors may be tracked"),
    (Mode.CASHBACK_EXEMPT.value, "Visitors come for a reward that needs the referral"),
    (Mode.REQUIRE.value, "Nobody is tracked without saying yes"),
)
_CONSENT_WHERE = (
    (Where.EEA.value, "In the EEA, the United Kingdom and Switzerland"),
    (Where.EVERYWHERE.value, "Everywhere"),
)
_SHARING = ("listed", "share_contact")
_WRONG: dict[str, str] = {
    "id": "The id must be 1 to 32 of a-z, 0-9 and -, and begin with a letter or digit.",
    "name": "The name must be 1 to 200 characters, on one line.",
    "landing_url": "The landing page must be a plain address, such as https://shop.example/.",
    "allowed_hosts": "Each line of the other hosts must be the name of a host, such as m.shop.example.",
    "window_days": "The attribution window must be a whole number of days from 1 to 400.",
    "lock_days": "The days to decide must be a whole number from 0 (never) to 365.",
    "timezone": "The time zone must be one such as Europe/Berlin.",
    "currency": "The currency must be an ISO 4217 code such as EUR or USD.",
    "click_param": "The click parameter must be 1 to 32 of A-Z, a-z, 0-9, _ and -.",
    "categories": "There may be 100 categories, each 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit.",
    "consent": "Choose one of the ways to treat visitors who say nothing.",
    "consent_where": "Choose one of the places where consent is required.",
}


def zones() -> list[str]:
    """Every time zone, for a field that suggests them."""
    return sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")


def choices() -> dict[str, Any]:
    """What the fields of a client that an operator fills in offer."""
    return {"zones": zones(), "consent": _CONSENT, "consent_where": _CONSENT_WHERE}


def shown(client: Client) -> dict[str, str]:
    """A client's fields as the texts of a form; a box that is ticked sends "yes"."""
    values = {name: getattr(client, name) for name in LABELS}
    values |= {name: "\n".join(values[name]) for name in _LISTS}
    return {name: ("yes" if value else "") if isinstance(value, bool) else str(value) for name, value in values.items()}


def consent_text(client: Client) -> str:
    """What a client's visitors are asked, in words."""
    if client.consent != Mode.REQUIRE:
        return dict(_CONSENT)[client.consent]
    return f"{dict(_CONSENT_WHERE)[client.consent_where]}, nobody is tracked without saying yes"


def read(form: Mapping[str, str], names: tuple[str, ...], check: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The JSON values that a form gives `names`. `check` raises BadInput for one that breaks a rule; InvalidForm tells of all
    that do.
    """
    found: dict[str, Any] = {}
    problems = {}
    for name in names:
        value = _value(name, form.get(name, "").strip())
        try:
            check({name: value})
        except BadInput as error:
            problems[name] = _WRONG.get(error.field or name, str(error))
        found[name] = value
    if problems:
        raise InvalidForm(problems)
    return found


def _value(name: str, text: str) -> Any:
    if name in _LISTS:
        return text.split()
    if name == "stateless":
        return text == "yes"
    if name in ("window_days", "lock_days") and text.isascii() and text.isdigit() and len(text) < 6:
        return int(text)
    return text


async def show(request: web.Request) -> web.Response:
    """The settings as they stand."""
    client = clients.own(request)
    return _show(request, client, Form({**shown(client), "version": str(fingerprint(client.to_json()))}))


def _show(request: web.Request, client: Client, form: Form) -> web.Response:
    sharing = {name: getattr(client, name) for name in _SHARING}
    version = str(fingerprint(client.to_json()))
    return page(
        request,
        "client/settings.html",
        form=form,
        client=client,
        sharing=sharing,
        current=version,
        zones=zones(),
        consent=consent_text(client),
    )


async def change(request: web.Request) -> web.Response:
    """Save the settings; what somebody else has saved meanwhile is shown beside what was typed, and stays."""
    client, form, who = clients.own(request), posted(request), sessions.account(request).who
    try:
        values = read(form, _OWN, client.changed)
        await request.app[keys.REGISTRY].change_client(client.id, values, who, seen=forms.version(request))
    except Conflict:
        now = clients.own(request)
        labels = {name: LABELS[name] for name in _OWN}
        return _show(request, now, Form(form).conflict(shown(now), fingerprint(now.to_json()), labels))
    except BadInput as error:
        return _show(request, client, Form.again(request, error))
    return see_other(_SETTINGS, "Saved.")


async def share(request: web.Request) -> web.Response:
    """Save what others may know; boxes that aren't ticked aren't sent."""
    client, form = clients.own(request), posted(request)
    values = {name: form.get(name) == "yes" for name in _SHARING}
    who = sessions.account(request).who
    await request.app[keys.REGISTRY].change_client(client.id, values, who, seen=forms.version(request))
    return see_other(_SETTINGS, "Saved.")


PAGES = (
    Page("GET", "/client/settings", show, Audience.CLIENT),
    Page("POST", "/client/settings", change, Audience.CLIENT),
    Page("POST", "/client/settings/sharing", share, Audience.CLIENT),
)
