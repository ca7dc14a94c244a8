"""Reports: who may see what, and what may be asked."""

from __future__ import annotations

import difflib
import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from pixeld.domain.audience import Trait
from pixeld.domain.orders import OrderStatus
from pixeld.domain.tokens import ID
from pixeld.domain.zones import zones
from pixeld.errors import BadInput

MAX_DAYS = 400
MAX_DIMENSIONS = 6
MAX_LIMIT = 1000
DEFAULT_DAYS = 30
DEFAULT_LIMIT = 100

_EARLIEST, _LATEST = date(2000, 1, 1), date(2100, 1, 1)  # the warehouse's DateTime ends in 2106
_ID = re.compile(ID, re.ASCII)


class Dimension(StrEnum):
    """What a performance report can be broken down by, in the contract's order."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    CLIENT = "client"
    PARTNER = "partner"
    S1 = "s1"
    S2 = "s2"
    S3 = "s3"
    S4 = "s4"
    S5 = "s5"
    CREATIVE = "creative"
    COUNTRY = "country"
    DEVICE = "device"
    BROWSER = "browser"
    OS = "os"
    LANGUAGE = "language"
    QUALITY = "quality"


#: What tells single visitors apart where few have it. Exact counts by these are for operators who may see them; everybody
#: else asks for an audience.
EXACT = frozenset({Dimension.COUNTRY, Dimension.DEVICE, Dimension.BROWSER, Dimension.OS, Dimension.LANGUAGE})
#: The same, for clients and partners.
NOT_FOR_TENANTS = EXACT | {Dimension.HOUR}


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose eyes a report is for. Every report takes one, and there is none that means nobody in particular.

    An operator sees everything; a client its own rows; a partner the rows that are its own, at all clients, which excludes
    orders that no partner earned.
    """

    role: Literal["operator", "client", "partner"]
    id: str

    def __post_init__(self) -> None:
        known = self.role in ("operator", "client", "partner")
        if not known or (_ID.fullmatch(self.id) is None if self.role != "operator" else self.id != ""):
            raise ValueError(f"no such scope: {self.role} {self.id!r}")

    @classmethod
    def operator(cls) -> Scope:
        """All rows."""
        return cls("operator", "")

    @classmethod
    def client(cls, id: str) -> Scope:
        """The rows of this client."""
        return cls("client", id)

    @classmethod
    def partner(cls, id: str) -> Scope:
        """The rows of this partner."""
        return cls("partner", id)


@dataclass(frozen=True, slots=True)
class _Query:
    """What all reports have: inclusive days, filters (empty: none), and a time zone (empty: the client's, else UTC)."""

    first: date
    last: date
    client: str
    partner: str
    tz: str

    def single_client(self, scope: Scope) -> str:
        """The one client that this report can be about; empty when it may be about several."""
        return scope.id if scope.role == "client" else self.client

    def bounds(self, zone: ZoneInfo) -> tuple[int, int]:
        """(first second, first second after it), since 1970. A midnight that a clock change skips is the moment of change."""
        days = (self.first, self.last + timedelta(days=1))
        first, after = (int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in days)
        return first, after


@dataclass(frozen=True, slots=True)
class PerformanceQuery(_Query):
    """A parsed request for the performance report. `quality` is `human`, or `all` for undiscounted traffic."""

    by: tuple[Dimension, ...]
    quality: Literal["human", "all"]

    @classmethod
    def parse(cls, params: Mapping[str, str], today: date) -> PerformanceQuery:
        """Read request parameters; `today` is the default of `to`. BadInput names the parameter and what is allowed."""
        _only(params, ("from", "to", "by", "client", "partner", "tz", "quality"))
        by = _dimensions(params.get("by", Dimension.DAY))
        quality = params.get("quality", "all" if Dimension.QUALITY in by else "human")
        if quality not in ("human", "all"):
            raise BadInput(f"quality must be human or all, not {_shown(quality)}", "quality")
        return cls(*_common(params, today), by=by, quality="all" if quality == "all" else "human")


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """A parsed request for an audience: inclusive days in UTC, one trait, filters (empty: none), and nothing else."""

    first: date
    last: date
    client: str
    partner: str
    by: Trait

    @classmethod
    def parse(cls, params: Mapping[str, str], today: date) -> AudienceQuery:
        """Read request parameters; `today` is the default of `to`. BadInput names the parameter and what is allowed."""
        _only(params, ("from", "to", "by", "client", "partner"))
        by = params.get("by", Trait.COUNTRY)
        if by not in tuple(Trait):
            raise BadInput(f"by: an audience is shown by one of {', '.join(Trait)}, not {_shown(by)}", "by")
        first, last, client, partner, _ = _common(params, today)
        return cls(first, last, client, partner, Trait(by))


class Position(NamedTuple):
    """Where a page of orders ended: the next one begins after this order, newest first."""

    at_ms: int
    client: str
    order: str


@dataclass(frozen=True, slots=True)
class OrdersQuery(_Query):
    """A parsed request for the list of orders. `status` is one of OrderStatus, or empty for all."""

    limit: int
    after: Position | None
    status: str

    @classmethod
    def parse(cls, params: Mapping[str, str], today: date) -> OrdersQuery:
        """Read request parameters; `today` is the default of `to`. BadInput names the parameter and what is allowed."""
        _only(params, ("from", "to", "client", "partner", "tz", "status", "limit", "cursor"))
        status = params.get("status", "")
        if "status" in params and status not in tuple(OrderStatus):
            raise BadInput(f"status must be one of {', '.join(OrderStatus)}, not {_shown(status)}", "status")
        limit = params.get("limit", str(DEFAULT_LIMIT))
        if re.fullmatch(r"[0-9]{1,4}", limit) is None or not 1 <= int(limit) <= MAX_LIMIT:
            raise BadInput(f"limit must be a whole number from 1 to {MAX_LIMIT}, not {_shown(limit)}", "limit")
        after = decode_cursor(params["cursor"]) if "cursor" in params else None
        return cls(*_common(params, today), limit=int(limit), after=after, status=status)


@dataclass(frozen=True, slots=True)
class RefusalsQuery(_Query):
    """A parsed request for the report of refusals."""

    @classmethod
    def parse(cls, params: Mapping[str, str], today: date) -> RefusalsQuery:
        """Read request parameters; `today` is the default of `to`. BadInput names the parameter and what is allowed."""
        _only(params, ("from", "to", "client", "partner", "tz"))
        return cls(*_common(params, today))


def encode_cursor(position: Position) -> str:
    """An opaque text for `position`. It grants nothing: whoever makes one up only chooses where a page of their own begins."""
    body = orjson.dumps(tuple(position))
    return urlsafe_b64encode(_checksum(body) + body).rstrip(b"=").decode()


def decode_cursor(text: str) -> Position:
    """What `encode_cursor` was given. BadInput for anything else."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        position = Position(*orjson.loads(raw[6:]))
        whole = raw[:6] == _checksum(raw[6:]) and encode_cursor(position) == text and _is_position(*position)
    except (ValueError, TypeError):
        whole = False
    if not whole:
        raise BadInput("cursor must be the value of `next` of the page before, unchanged", "cursor")
    return position


def _is_position(at_ms: object, client: object, order: object) -> bool:
    """Whether these are of a position's types: the checksum is no secret, and anybody can write a cursor."""
    return type(at_ms) is int and 0 <= at_ms < 2**63 and isinstance(client, str) and isinstance(order, str)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"orders" + body).digest()[:6]


def whole_hours(zone: ZoneInfo, first_s: int, after_s: int) -> bool:
    """Whether an hour of `zone` always begins with an hour of UTC between the two times."""
    return all(offset % timedelta(hours=1) == timedelta(0) for offset in _offsets(zone, first_s, after_s))


def utc_days(zone: ZoneInfo, first_s: int, after_s: int) -> bool:
    """Whether the days of `zone` between the two times are those of UTC."""
    return all(offset == timedelta(0) for offset in _offsets(zone, first_s, after_s))


def days_since_1970(day: date) -> int:
    """The number of `day`, as the warehouse has it."""
    return (day - date(1970, 1, 1)).days


def _offsets(zone: ZoneInfo, first_s: int, after_s: int) -> set[timedelta]:
    """What `zone` is ahead of UTC between the two times. Asked once a day: no zone ever had an offset for less than that."""
    moments = range(first_s, after_s + 86_400, 86_400)
    return {offset for s in moments if (offset := datetime.fromtimestamp(s, zone).utcoffset()) is not None}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _only(params: Mapping[str, str], allowed: Sequence[str]) -> None:
    for name in params:
        if name not in allowed:
            raise BadInput(f"there is no parameter {_shown(name)}; {_nearest(name, allowed)}", name)


def _nearest(text: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    near = difflib.get_close_matches(text, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def _common(params: Mapping[str, str], today: date) -> tuple[date, date, str, str, str]:
    last = _day(params["to"], "to") if "to" in params else today
    first = _day(params["from"], "from") if "from" in params else last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise BadInput(f"from ({first}) is after to ({last})", "from")
    days = (last - first).days + 1
    if days > MAX_DAYS:
        raise BadInput(f"{first} to {last} is {days} days; a report covers at most {MAX_DAYS}", "from")
    tz = params.get("tz", "")
    if "tz" in params and tz not in zones():
        raise BadInput(f"tz {_shown(tz)} is not a time zone such as Europe/Berlin; {_nearest(tz, zones())}"[:200], "tz")
    return first, last, _id(params, "client"), _id(params, "partner"), tz


def _day(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    if day is None or not _EARLIEST <= day < _LATEST:
        raise BadInput(f"{name} must be a day such as 2026-03-31, from {_EARLIEST} on, not {_shown(text)}", name)
    return day


def _dimensions(text: str) -> tuple[Dimension, ...]:
    names = text.split(",") if text else []
    by = []
    for name in names:
        try:
            by.append(Dimension(name))
        except ValueError:
            raise BadInput(f"by: there is no dimension {_shown(name)}; {_nearest(name, Dimension)}", "by") from None
    if len(set(by)) < len(by):
        raise BadInput("by names a dimension twice", "by")
    if len(by) > MAX_DIMENSIONS:
        raise BadInput(f"by names {len(by)} dimensions; at most {MAX_DIMENSIONS}", "by")
    return tuple(by)


def _id(params: Mapping[str, str], name: str) -> str:
    text = params.get(name, "")
    if name in params and _ID.fullmatch(text) is None:
        raise BadInput(f"{name} must be an id: 1 to 32 of a-z 0-9 and -, not {_shown(text)}", name)
    return text
