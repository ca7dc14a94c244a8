"""Clients, partners and memberships: their rules, and the immutable picture of all of them that answers are made from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any, Self
from zoneinfo import available_timezones

from pixeld.domain import landing
from pixeld.domain.money import EXPONENTS
from pixeld.domain.tokens import ID
from pixeld.errors import BadInput

_ID = re.compile(ID, re.ASCII)
_CLICK_PARAM = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # walks a directory: some 10 ms, and a snapshot asks once a client


class Status(StrEnum):
    """The state of a membership. Only an approved one sets cookies and earns orders."""

    APPLIED = "applied"
    APPROVED = "approved"
    DECLINED = "declined"
    ENDED = "ended"


class _Record:
    """What clients and partners share: made from JSON and changed by JSON, every rule checked each time."""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, in the order of its fields."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}  # type: ignore[call-overload]

    @classmethod
    def from_store(cls, values: dict[str, Any]) -> Self:
        """A record that was stored, by this version or by a newer one, whose further fields are left alone."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls.from_json({name: value for name, value in values.items() if name in known})

    @classmethod
    def from_json(cls, body: object) -> Self:
        """A new record. BadInput names the field that breaks a rule."""
        values = _values(cls, body)
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]  # type: ignore[arg-type]
        if missing:
            raise BadInput(f"{missing[0]} is missing; a {cls.__name__.lower()} needs one", missing[0])
        return cls(**values)

    def changed(self, body: object) -> Self:
        """The record with some fields replaced. BadInput names the field that breaks a rule; an id never changes."""
        values = _values(type(self), body)
        if values.get("id", self.id) != self.id:  # type: ignore[attr-defined]
            raise BadInput("id cannot be changed: links and pixels out there carry it", "id")
        return replace(self, **values)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class Client(_Record):
    """A shop whose pages carry the pixel. Deep links may lead to `allowed_hosts` and to the landing page's own host."""

    id: str
    name: str
    landing_url: str
    allowed_hosts: tuple[str, ...] = ()
    currency: str = "USD"
    window_days: int = 30
    timezone: str = "UTC"
    click_param: str = "pxid"

    @property
    def hosts(self) -> frozenset[str]:
        """Where a deep link may lead: names in lower case, with their port if they have one."""
        return frozenset((landing.host_of(self.landing_url) or "", *self.allowed_hosts))

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_name(self.name)
        host = landing.host_of(self.landing_url) if isinstance(self.landing_url, str) else None
        if host is None:
            raise BadInput("landing_url must be a plain http(s) URL, such as https://shop.example/", "landing_url")
        hosts = []
        for name in self.allowed_hosts:
            if not isinstance(name, str) or landing.host_of(f"https://{name}") != name.lower():
                raise BadInput(
                    f"allowed_hosts holds {name!r}, which is not a host name such as shop.example", "allowed_hosts"
                )
            hosts.append(name.lower())
        object.__setattr__(self, "allowed_hosts", tuple(dict.fromkeys(hosts)))
        if not isinstance(self.currency, str) or self.currency not in EXPONENTS:
            raise BadInput(f"currency {self.currency!r} is not an ISO 4217 code such as EUR or USD", "currency")
        if type(self.window_days) is not int or not 1 <= self.window_days <= 400:
            raise BadInput("window_days must be a whole number from 1 to 400", "window_days")
        if not isinstance(self.timezone, str) or self.timezone not in _zones():
            raise BadInput(f"timezone {self.timezone!r} is not a zone such as Europe/Berlin or UTC", "timezone")
        if not isinstance(self.click_param, str) or _CLICK_PARAM.fullmatch(self.click_param) is None:
            raise BadInput("click_param must be 1 to 32 of A-Z a-z 0-9 _ -", "click_param")


@dataclass(frozen=True, slots=True)
class Partner(_Record):
    """An affiliate who sends visitors."""

    id: str
    name: str

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_name(self.name)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registry at one moment; `version` grows with every change. Never altered: a change makes another one."""

    version: int = 0
    clients: Mapping[str, Client] = field(default_factory=dict)
    partners: Mapping[str, Partner] = field(default_factory=dict)
    members: Mapping[tuple[str, str], Status] = field(default_factory=dict)
    approved: Mapping[str, frozenset[str]] = field(init=False)  #: for each client, the partners whose membership is approved

    def __post_init__(self) -> None:
        found: dict[str, set[str]] = {}
        for (client, partner), status in self.members.items():
            if status is Status.APPROVED:
                found.setdefault(client, set()).add(partner)
        object.__setattr__(self, "approved", {client: frozenset(partners) for client, partners in found.items()})


def status_of(body: object) -> Status:
    """The membership status that a request body asks for. BadInput when it asks for none."""
    value = body.get("status") if isinstance(body, dict) else None
    try:
        return Status(value)  # type: ignore[arg-type]
    except ValueError:
        raise BadInput(f"status must be one of {', '.join(Status)}", "status") from None


def _values(cls: type, body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadInput("the body must be a JSON object")
    names = [f.name for f in fields(cls)]
    for key in body:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            raise BadInput(f"unknown field {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""), str(key))
    values = dict(body)
    if "allowed_hosts" in values:
        if not isinstance(values["allowed_hosts"], (list, tuple)):
            raise BadInput("allowed_hosts must be a list of host names", "allowed_hosts")
        values["allowed_hosts"] = tuple(values["allowed_hosts"])
    return values


def _check_id(value: object) -> None:
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise BadInput("id must be 1 to 32 of a-z 0-9 -, and begin with a letter or digit", "id")


def _check_name(value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise BadInput("name must be 1 to 200 printable characters", "name")
