"""What the tenants' API takes and gives, as JSON Schema (2020-12). Limits are those of the domain, from its own constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixeld.domain.audience import OTHER, Trait
from pixeld.domain.consent import REFUSED
from pixeld.domain.money import EXPONENTS
from pixeld.domain.orders import MAX_ID, MAX_REASON, OrderStatus
from pixeld.domain.registry import Status
from pixeld.domain.report_rows import NOT_FOR_PARTNERS, REFUSAL_COLUMNS
from pixeld.domain.reports import DEFAULT_DAYS, DEFAULT_LIMIT, MAX_DAYS, MAX_DIMENSIONS, MAX_LIMIT, NOT_FOR_TENANTS, Dimension
from pixeld.domain.tokens import ID
from pixeld.domain.zones import zones

Schema = Mapping[str, Any]
Parameter = tuple[Schema, str]  #: what a parameter takes, and what it is


def ref(name: str) -> Schema:
    """A schema of COMPONENTS."""
    assert name in COMPONENTS
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Mapping[str, Schema], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Schema) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_ID: Schema = {"type": "string", "pattern": f"^{ID}$", "maxLength": 32}
_MONEY: dict[str, Any] = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.90"]}
_CURRENCY: Schema = {"type": "string", "enum": sorted(EXPONENTS)}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_STATUS: Schema = {"type": "string", "enum": list(Status)}
_ORDER_STATUS: dict[str, Any] = {"type": "string", "enum": list(OrderStatus)}
_BY = [dimension for dimension in Dimension if dimension not in NOT_FOR_TENANTS]
_DIMENSIONS: dict[str, Schema] = {dimension.value: _TEXT for dimension in _BY} | {
    "day": {"type": "string", "format": "date"},
    "month": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
    "client": _ID,
    "partner": _maybe(_ID),
}
_COUNTS: dict[str, Schema] = {
    "currency": _maybe(_TEXT),
    "impressions": _COUNT,
    "clicks": _COUNT,
    "unique_clicks": _COUNT,
    "orders": _COUNT,
    "revenue": _MONEY,
    "commission": _MONEY | {"description": "What is owed or may come to be: without that of rejected orders."},
    **{f"orders_{status}": _COUNT for status in OrderStatus},
    **{f"commission_{status}": _MONEY for status in OrderStatus},
}
_ORDER: dict[str, Schema] = {
    "order": _TEXT,
    "client": _ID,
    "partner": _maybe(_ID),
    "amount": _MONEY,
    "currency": _TEXT,
    "commission": _MONEY,
    "status": _ORDER_STATUS,
    "decided_at": _maybe(_TIME),
    "decided_by": _maybe(_TEXT | {"description": "For the client only."}),
    "reason": _maybe(_TEXT | {"description": "Why it was decided so."}),
    "locks_at": _maybe(
        _TIME | {"description": "When it is approved by itself, if nobody has decided otherwise."}
    ),
    "method": _maybe({"type": "string", "enum": ["click", "cookie"]}),
    "click_id": _maybe(_TEXT),
    "clicked_at": _maybe(_TIME),
    "ordered_at": _TIME,
    "coupon": _maybe(_TEXT),
    "customer": _maybe(_TEXT),
    "flags": _list({"type": "string", "enum": ["conflict"]}),
}
ORDER_COLUMNS = tuple(_ORDER)
_TERMS = _list(
    _object(
        {
            "percent": _MONEY | {"description": "Of an order's amount."},
            "flat": _MONEY | {"description": "For each order in the client's currency, besides."},
            "from_day": _TEXT | {"description": "The first day in UTC; empty: always was."},
            "until_day": _TEXT | {"description": "The last day, inclusive; empty: without an end."},
        }
    )
)
_PRINTABLE = r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$"

COMPONENTS: dict[str, Schema] = {
    "Problem": _object(
        {
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string", "description": "Stable: for programs."},
            "detail": {"type": "string", "description": "What happened, why, and what to do: for people."},
            "field": {"type": "string", "description": "The parameter or field that is to blame."},
        },
        optional=("field",),
    ),
    "Me": _object({"role": {"type": "string", "enum": ["client", "partner"]}, "id": _ID, "name": _TEXT}),
    "Performance": _object(
        {
            "columns": _list({"type": "string", "enum": [*_BY, *_COUNTS]}),
            "rows": _list(_object(_DIMENSIONS | _COUNTS, optional=tuple(_DIMENSIONS))),
            "totals": _list(_object(_COUNTS)),
        }
    ),
    "Audience": _object(
        {
            "columns": _list({"type": "string", "enum": [*Trait, "visitors"]}),
            "rows": _list(
                _object(
                    {trait.value: _TEXT | {"description": f"`{OTHER}`: values that too few have."} for trait in Trait}
                    | {
                        "visitors": _COUNT
                        | {"description": "In tens. Who came on two days, or by two partners, is in it twice."}
                    },
                    optional=tuple(Trait),
                )
            ),
            "days": _COUNT | {"description": "Of how many of the days something has been released, whoever came."},
            "k": _maybe(_COUNT | {"description": "No number stands for fewer visitors; null without rows."}),
        }
    ),
    "Orders": _object(
        {
            "rows": _list(_object(_ORDER, optional=NOT_FOR_PARTNERS)),
            "next": _maybe({"type": "string", "description": "The cursor of the next page; null on the last one."}),
        }
    ),
    "Refusals": _object(
        {
            "columns": _list({"type": "string", "enum": list(REFUSAL_COLUMNS)}),
            "rows": _list(
                _object(
                    {
                        "day": {"type": "string", "format": "date"},
                        "client": _ID,
                        "partner": _maybe(_ID),
                        "what": {"type": "string", "enum": ["click", "impression", "order"]},
                        "verdict": {"type": "string", "enum": sorted(REFUSED), "description": "And the signal that decided."},
                        "requests": _COUNT | {"description": "Of people and of machines alike: more is not known of them."},
                    }
                )
            ),
        }
    ),
    "Clients": _object(
        {
            "clients": _list(
                _object(
                    {
                        "id": _ID,
                        "name": _TEXT,
                        "landing_url": _TEXT,
                        "allowed_hosts": _list(_TEXT),
                        "currency": _CURRENCY,
                        "window_days": _COUNT,
                        "timezone": _TEXT,
                        "click_param": _TEXT,
                        "lock_days": _COUNT | {"description": "After so many days an order is approved by itself; 0: never."},
                        "commission": _TERMS,
                        "own_commission": _TERMS
                        | {"description": "Agreed with you: comes first on the days on which it holds."},
                        "status": _STATUS,
                    }
                )
            )
        }
    ),
    "Partners": _object({"partners": _list(_object({"id": _ID, "name": _TEXT, "own_commission": _TERMS, "status": _STATUS}))}),
    "Decision": _object(
        {
            "order": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
            "status": {"type": "string", "enum": [OrderStatus.APPROVED, OrderStatus.REJECTED]},
            "seen": _ORDER_STATUS
            | {"description": "Its status as you saw it; when it has another one now, nothing is changed."},
            "reason": {
                "type": "string",
                "maxLength": MAX_REASON,
                "pattern": _PRINTABLE,
                "description": "What the partner is told. A rejection needs one.",
            },
        },
        optional=("reason",),
    )
    | {
        "if": {"properties": {"status": {"const": OrderStatus.REJECTED}}},
        "then": {"required": ["reason"], "properties": {"reason": {"pattern": "[^ ]"}}},
    },
    "Decided": _object({"order": _TEXT, "status": _ORDER_STATUS}),
}

_DAY: Schema = {"type": "string", "format": "date", "pattern": "^20[0-9]{2}-[0-9]{2}-[0-9]{2}$"}
#: Parameters of the reports: name → (schema, what it is).
PARAMETERS: dict[str, Parameter] = {
    "from": (_DAY, f"First day. Without it, {DEFAULT_DAYS} days with the last; a report covers at most {MAX_DAYS}."),
    "to": (_DAY, "Last day, inclusive. Without it, today in UTC."),
    "by": (
        {
            "type": "array",
            "items": {"type": "string", "enum": _BY},
            "maxItems": MAX_DIMENSIONS,
            "uniqueItems": True,
            "default": [Dimension.DAY],
        },
        "What a row is about, joined by commas.",
    ),
    "client": (_ID, "This client only."),
    "partner": (_ID, "This partner only."),
    "tz": (
        {"type": "string", "enum": sorted(zones()), "examples": ["Europe/Berlin"]},
        "Whose days. Without it the client's, or UTC where there may be several clients.",
    ),
    "quality": (
        {"type": "string", "enum": ["human", "all"]},
        "`all` counts bots, prefetches and the like too. Without it, `human`; `all` when `by` has `quality`.",
    ),
    "status": (_ORDER_STATUS, "Orders of this status only."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, "Most orders of a page."),
    "cursor": (_TEXT, "Where to go on: `next` of the page before, with its other parameters unchanged."),
    "format": ({"type": "string", "enum": ["json", "csv"]}, "Without it, what `Accept` prefers; JSON at last."),
}
BY_TRAIT: Parameter = (
    {"type": "string", "enum": list(Trait), "default": Trait.COUNTRY},
    "What of a visitor, one at a time. `hour` is of the day, in UTC.",
)
