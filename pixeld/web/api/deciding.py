"""Decisions about orders, for whoever may decide: {"order", "status", "seen", "reason"}.

The order is named in the body, not in the path: shops choose its id, and of one with `/`, `%`, `.` or `..` in it, proxies,
peers and routers on the way would each make another path.
"""

from __future__ import annotations

from aiohttp import web

from pixeld.domain.orders import OrderStatus
from pixeld.domain.ports import Decisions
from pixeld.domain.reports import Scope
from pixeld.errors import BadInput
from pixeld.web.api.schemas import COMPONENTS
from pixeld.web.responses import body

_FIELDS = COMPONENTS["Decision"]["properties"]


async def decide(
    request: web.Request, decisions: Decisions, scope: Scope, client: str, who: str
) -> tuple[str, OrderStatus, str]:
    """Decide about one of `client`'s orders as the body says: (order, what it is now, reason). BadInput for a body that says
    something else, and whatever `Decisions.decide` raises.
    """
    asked = await body(request)
    if not isinstance(asked, dict) or not isinstance(asked.get("order"), str):
        raise BadInput('the body must be {"order": "…", "status": "approved", "seen": "pending"}', "order")
    for name in asked.keys() - _FIELDS.keys():
        raise BadInput(f"unknown field {name!r}; there are {', '.join(_FIELDS)}", name)
    order, reason = asked["order"], asked.get("reason", "")
    status = await decisions.decide(scope, client, order, asked.get("status"), reason, asked.get("seen"), who)
    return order, status, reason.strip()
