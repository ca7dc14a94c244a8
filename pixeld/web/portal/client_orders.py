"""A client's orders: what waits for a decision, and what was decided; one or several at once are approved or rejected."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from pixeld.domain.orders import OrderStatus, check_decision
from pixeld.errors import BadInput, NotFound
from pixeld.web.portal import figures, keys, sessions
from pixeld.web.portal.forms import Form, posted
from pixeld.web.portal.pages import PREFIX, ROWS, Audience, Page, page, see_other

_ORDERS = f"{PREFIX}/client/orders"
_STATES = (("", "All states"), *((status.value, status.value.capitalize()) for status in OrderStatus))
_ASKED = ("status", "days", "partner", "cursor")
_BOX = "order "  # the boxes of a form are named `order <number>`, and their value is the status that was seen


async def show(request: web.Request) -> web.Response:
    """Orders, newest first, a page at a time."""
    return await _show(request, dict(request.query), {})


async def _show(
    request: web.Request,
    asked: dict[str, str],
    problems: dict[str, str],
    ticked: dict[str, str] | None = None,
    status: int = 200,
) -> web.Response:
    reader, today = sessions.reader(request), request.app[keys.TODAY]()
    asked = {name: value for name in _ASKED if (value := asked.get(name, "").strip())}
    days = asked.get("days", "30")
    params = {name: asked[name] for name in ("status", "partner", "cursor") if name in asked}
    found: dict[str, Any] = {"rows": [], "next": None}
    problems = dict(problems)
    try:
        found = await reader.orders(params | figures.period(days, today) | {"limit": str(ROWS)})
    except BadInput as error:
        problems = {error.field if error.field in ("days", "status", "partner") else "": str(error)}
    partners = {partner.id: partner.name for partner in reader.partners()}
    filters = {name: value for name, value in asked.items() if name != "cursor"}
    return page(
        request,
        "client/orders.html",
        status=status,
        form=Form({"days": days, "status": "", "partner": "", "reason": "", **filters, **(ticked or {})}, problems),
        orders=found["rows"],
        next=urlencode(filters | {"cursor": found["next"]}) if found["next"] else "",
        newest=urlencode(filters) if "cursor" in asked else None,
        here=asked,
        partners=partners,
        periods=figures.PERIODS,
        states=_STATES,
        box=_BOX,
    )


async def decide(request: web.Request) -> web.Response:
    """Approve or reject what is ticked, each if it is still what the decider saw; what isn't is told and stays as it is."""
    form, account = posted(request), sessions.account(request)
    ticked = {name: value for name, value in form.items() if name.startswith(_BOX)}
    asked = {name: form.get(f"on_{name}", "") for name in _ASKED}
    typed = ticked | {"reason": form.get("reason", "")}
    try:
        status, reason = check_decision(form.get("decision", ""), form.get("reason", "").strip())
    except BadInput as error:
        text = "Tell the partner why, in one line." if error.field == "reason" else "Choose what becomes of the orders."
        return await _show(request, asked, {error.field or "": text}, typed, 400)
    if status is OrderStatus.APPROVED:
        reason = ""
    if not 0 < len(ticked) <= ROWS:
        text = f"Tick the orders that you want to decide about, {ROWS} at most; {len(ticked) or 'none'} were ticked."
        return await _show(request, asked, {"": text}, typed, 400)
    orders = {name.removeprefix(_BOX): seen for name, seen in ticked.items()}
    _, refused = await request.app[keys.DECISIONS].decide_all(
        account.scope, account.subject, orders, status.value, reason, account.who
    )
    if all(isinstance(refused.get(order), NotFound) for order in orders):
        raise NotFound("There is no such order.")
    done = len(orders) - len(refused)
    if refused:
        told = [f"{_counted(done)} {status}."] if done else []
        told += [f"{order}: {error}." for order, error in refused.items()]
        return await _show(request, asked, {"": " ".join(told)}, {"reason": reason}, 409)
    where = urlencode({name: value for name, value in asked.items() if value})
    return see_other(f"{_ORDERS}?{where}" if where else _ORDERS, f"{_counted(done)} {status}. The list shows it in a moment.")


def _counted(count: int) -> str:
    return "1 order is" if count == 1 else f"{count} orders are"


PAGES = (
    Page("GET", "/client/orders", show, Audience.CLIENT),
    Page("POST", "/client/orders", decide, Audience.CLIENT),
)
