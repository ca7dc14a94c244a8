"""Clients, partners and memberships: their rules, and the immutable picture of all of them that answers are made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pixeld.domain import affinity, landing
from pixeld.domain.commission import Terms, check_currency
from pixeld.domain.consent import Mode, Where
from pixeld.domain.money import EXPONENTS
from pixeld.domain.record import JsonRecord
from pixeld.domain.tokens import ID
from pixeld.domain.zones import zones
from pixeld.errors import BadInput

_ID = re.compile(ID, re.ASCII)
_CLICK_PARAM = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


class Status(StrEnum):
    """The state of a membership. Only an approved one sets cookies and earns orders."""

    APPLIED = "applied"
    APPROVED = "approved"
    DECLINED = "declined"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Client(JsonRecord):
    """A shop whose pages carry the pixel. Deep links may lead to `allowed_hosts` and to the landing page's own host."""

    id: str
    name: str
    landing_url: str
    allowed_hosts: tuple[str, ...] = ()
    currency: str = "USD"
    window_days: int = 30
    timezone: str = "UTC"
    click_param: str = "pxid"
    commission: tuple[Terms, ...] = ()  #: what its partners earn; in the order of time, never two on one day
    lock_days: int = 30  #: after so many days an order is approved unless somebody decided otherwise; 0: never by itself
    listed: bool = True  #: partners find it in their directory
    share_contact: bool = True  #: its approved partners may write to it through the portal
    stateless: bool = False  #: no cookie is set or read: only a click id that it hands over earns an order
    categories: tuple[str, ...] = ()  #: of products, which its orders may name where the visitor has agreed; none: off
    consent: str = Mode.OPERATOR_ASSERTS.value  #: a consent.Mode: what is asked of visitors who say nothing
    consent_where: str = Where.EEA.value  #: a consent.Where: where `require` applies

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
        if not isinstance(self.timezone, str) or self.timezone not in zones():
            raise BadInput(f"timezone {self.timezone!r} is not a zone such as Europe/Berlin or UTC", "timezone")
        if not isinstance(self.click_param, str) or _CLICK_PARAM.fullmatch(self.click_param) is None:
            raise BadInput("click_param must be 1 to 32 of A-Z a-z 0-9 _ -", "click_param")
        check_currency(self.commission, self.currency)
        if type(self.lock_days) is not int or not 0 <= self.lock_days <= 365:
            raise BadInput("lock_days must be a whole number from 0 (never) to 365", "lock_days")
        for name in ("listed", "share_contact", "stateless"):
            if type(getattr(self, name)) is not bool:
                raise BadInput(f"{name} must be true or false", name)
        object.__setattr__(self, "categories", affinity.listed(self.categories))
        for name, known in (("consent", Mode), ("consent_where", Where)):
            if getattr(self, name) not in tuple(known):
                raise BadInput(f"{name} must be one of {', '.join(known)}", name)

    @classmethod
    def _converted(cls, values: dict[str, Any], *, stored: bool) -> dict[str, Any]:
        for name, members in (("allowed_hosts", "host names"), ("categories", "names")):
            if name in values:
                if not isinstance(values[name], (list, tuple)):
                    raise BadInput(f"{name} must be a list of {members}", name)
                values[name] = tuple(values[name])
        if "commission" in values:
            values["commission"] = Terms.listed(values["commission"], stored=stored)
        return values


@dataclass(frozen=True, slots=True)
class Partner(JsonRecord):
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
    terms: Mapping[tuple[str, str], tuple[Terms, ...]] = field(default_factory=dict)  #: of memberships with their own
    approved: Mapping[str, frozenset[str]] = field(init=False)  #: for each client, the partners whose membership is approved
    own_terms: Mapping[str, Mapping[str, tuple[Terms, ...]]] = field(init=False)  #: `terms` by client, then by partner
    of_client: Mapping[str, list[tuple[str, str]]] = field(init=False)  #: for each client, what it has in `members`
    of_partner: Mapping[str, list[tuple[str, str]]] = field(init=False)  #: for each partner, the same

    def __post_init__(self) -> None:
        found: dict[str, set[str]] = {}
        of_client: dict[str, list[tuple[str, str]]] = {}
        of_partner: dict[str, list[tuple[str, str]]] = {}
        for pair, status in self.members.items():
            client, partner = pair
            of_client.setdefault(client, []).append(pair)
            of_partner.setdefault(partner, []).append(pair)
            if status is Status.APPROVED:
                found.setdefault(client, set()).add(partner)
        object.__setattr__(self, "approved", {client: frozenset(partners) for client, partners in found.items()})
        own: dict[str, dict[str, tuple[Terms, ...]]] = {}
        for (client, partner), terms in self.terms.items():
            own.setdefault(client, {})[partner] = terms
        object.__setattr__(self, "own_terms", own)
        object.__setattr__(self, "of_client", of_client)
        object.__setattr__(self, "of_partner", of_partner)


@dataclass(frozen=True, slots=True)
class Membership:
    """A client's and a partner's agreement. Its own terms come before the client's; mostly there are none."""

    status: Status
    commission: tuple[Terms, ...] = ()

    def to_json(self) -> Any:
        """As it is stored: a bare status, unless there are terms."""
        if not self.commission:
            return str(self.status)
        return {"status": str(self.status), "commission": [terms.to_json() for terms in self.commission]}

    @classmethod
    def from_store(cls, value: Any) -> Membership:
        """What `to_json` gave, in this version or in another one."""
        if isinstance(value, str):
            return cls(Status(value))
        return cls(Status(value["status"]), Terms.listed(value.get("commission", ()), stored=True))


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """What somebody wants of a membership; None stays as it is, and no terms means the client's."""

    status: Status | None
    commission: tuple[Terms, ...] | None

    @classmethod
    def from_json(cls, body: object) -> MembershipChange:
        """Read {"status", "commission"}, of which one may be left out. BadInput names what breaks a rule."""
        if not isinstance(body, dict) or "commission" not in body:
            return cls(status_of(body), None)
        for name in body.keys() - {"status", "commission"}:
            raise BadInput(f"unknown field {name!r}; a membership has status and commission", str(name))
        return cls(status_of(body) if "status" in body else None, Terms.listed(body["commission"]))

    def applied(self, before: Membership | None, currency: str) -> Membership:
        """The membership with a client of that currency, afterwards. BadInput when there was none and no status is given."""
        status = self.status or (before.status if before else status_of({}))
        commission = self.commission if self.commission is not None else before.commission if before else ()
        check_currency(commission, currency)
        return Membership(status, commission)


def status_of(body: object) -> Status:
    """The membership status that a request body asks for. BadInput when it asks for none."""
    value = body.get("status") if isinstance(body, dict) else None
    try:
        return Status(value)  # type: ignore[arg-type]
    except ValueError:
        raise BadInput(f"status must be one of {', '.join(Status)}", "status") from None


def _check_id(value: object) -> None:
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise BadInput("id must be 1 to 32 of a-z 0-9 -, and begin with a letter or digit", "id")


def _check_name(value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise BadInput("name must be 1 to 200 printable characters", "name")
