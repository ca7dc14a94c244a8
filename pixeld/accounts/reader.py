"""The one door to everything that is read: who may see what is decided here, from a scope alone, and again in every statement
of the reports. What isn't the scope's own doesn't exist for it: nobody is told that there is something to be hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from pixeld.domain.commission import Terms, in_force
from pixeld.domain.ports import Registry, Reports
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Client, Membership, Partner, Snapshot, Status
from pixeld.domain.reports import (
    EXACT,
    NOT_FOR_TENANTS,
    AudienceQuery,
    OrdersQuery,
    PerformanceQuery,
    RefusalsQuery,
    Scope,
)
from pixeld.errors import BadInput, NotFound, Unavailable


class Agreement(NamedTuple):
    """A membership, with both of its parties. `commission` are terms of its own, mostly none: then the client's hold."""

    client: Client
    partner: Partner
    status: Status
    commission: tuple[Terms, ...]

    @property
    def version(self) -> int:
        """What a change of it brings along as `seen`, so that it is refused when the membership is another one by then."""
        return fingerprint(Membership(self.status, self.commission).to_json())


class Reader:
    """Reads for one scope: an operator's is everything, a client's itself and those who have or had a membership with it, a
    partner's itself and the clients that it has or had one with.

    `today()` is the date in UTC. `exact_as` is the name of an operator who may see exact counts of visitors by their traits,
    which is noted each time; empty for everybody else. Every method raises Unavailable while the registry has not been read.
    """

    __slots__ = ("_exact_as", "_registry", "_reports", "_today", "scope")

    def __init__(
        self, scope: Scope, registry: Registry, reports: Reports, today: Callable[[], date], exact_as: str = ""
    ) -> None:
        self.scope, self._registry, self._reports, self._today = scope, registry, reports, today
        self._exact_as = exact_as if scope.role == "operator" else ""

    async def performance(self, params: Mapping[str, str]) -> dict[str, Any]:
        """The performance report, as `ports.Reports` has it. BadInput for what isn't a parameter of it, or this scope's."""
        query = PerformanceQuery.parse(params, today=self._today())
        await self._check_exact(query)
        return await self._reports.performance(self.scope, query, self._known())

    async def refusals(self, params: Mapping[str, str]) -> dict[str, Any]:
        """The report of refusals, as `ports.Reports` has it. BadInput for what isn't a parameter of it."""
        query = RefusalsQuery.parse(params, today=self._today())
        return await self._reports.refusals(self.scope, query, self._known())

    async def orders(self, params: Mapping[str, str]) -> dict[str, Any]:
        """A page of orders, as `ports.Reports` has it. BadInput for what isn't a parameter of it."""
        query = OrdersQuery.parse(params, today=self._today())
        return await self._reports.orders(self.scope, query, self._known())

    async def audience(self, params: Mapping[str, str]) -> dict[str, Any]:
        """An audience, as `ports.Reports` has it. BadInput for what isn't a parameter of it."""
        return await self._reports.audience(self.scope, AudienceQuery.parse(params, today=self._today()))

    async def _check_exact(self, query: PerformanceQuery) -> None:
        asked = [by for by in query.by if by in (EXACT if self.scope.role == "operator" else NOT_FOR_TENANTS)]
        if not asked:
            return
        if not self._exact_as:
            raise BadInput(
                f"by: {asked[0]} could tell single visitors apart; the audience report shows it, in groups large enough",
                "by",
            )
        # Before anything is read: what can't be noted isn't shown.
        shown = {"from": f"{query.first}", "to": f"{query.last}", "by": [*query.by]}
        filters = {"client": query.client, "partner": query.partner}
        await self._registry.note("exact-audience", None, shown | {k: v for k, v in filters.items() if v}, self._exact_as)

    def clients(self) -> list[Client]:
        """The clients that the scope sees."""
        clients = self._snapshot.clients
        if self.scope.role == "operator":
            return list(clients.values())
        if self.scope.role == "client":
            return [clients[self.scope.id]] if self.scope.id in clients else []
        return [agreement.client for agreement in self.memberships()]

    def partners(self) -> list[Partner]:
        """The partners that the scope sees."""
        partners = self._snapshot.partners
        if self.scope.role == "operator":
            return list(partners.values())
        if self.scope.role == "partner":
            return [partners[self.scope.id]] if self.scope.id in partners else []
        return [agreement.partner for agreement in self.memberships()]

    def memberships(self) -> list[Agreement]:
        """The memberships that the scope is party to; an operator's are all of them."""
        snapshot = self._snapshot
        pairs: Iterable[tuple[str, str]] = snapshot.members
        if self.scope.role != "operator":
            own = snapshot.of_client if self.scope.role == "client" else snapshot.of_partner
            pairs = own.get(self.scope.id, ())
        found = (_agreement(snapshot, *pair) for pair in pairs)
        return [agreement for agreement in found if agreement is not None]

    def membership(self, client: str, partner: str) -> Agreement:
        """One of `memberships()`. NotFound for any other."""
        own = {"client": client, "partner": partner}.get(self.scope.role, "")
        agreement = _agreement(self._snapshot, client, partner) if own == self.scope.id else None
        if agreement is None:
            raise NotFound(f"there is no membership of {partner!r} with {client!r}")
        return agreement

    def directory(self) -> list[Client]:
        """For a partner: the clients that it sees, and those that let partners find them. For others: the clients they see."""
        if self.scope.role != "partner":
            return self.clients()
        return [client for client in self._snapshot.clients.values() if client.listed or self._sees_client(client.id)]

    def terms(self, client: Client) -> Terms | None:
        """For a partner: what orders at a client earn it today."""
        today = self._today()
        own = self._snapshot.terms.get((client.id, self.scope.id), ())
        return in_force(own, today) or in_force(client.commission, today)

    def client(self, id: str) -> Client:
        """One of `clients()`. NotFound for any other."""
        client = self._snapshot.clients.get(id)
        if client is None or not self._sees_client(id):
            raise NotFound(f"there is no client {id!r}")
        return client

    def partner(self, id: str) -> Partner:
        """One of `partners()`. NotFound for any other."""
        partner = self._snapshot.partners.get(id)
        if partner is None or not self._sees("partner", id, (self.scope.id, id)):
            raise NotFound(f"there is no partner {id!r}")
        return partner

    def _sees_client(self, id: str) -> bool:
        return self._sees("client", id, (id, self.scope.id))

    def _sees(self, role: str, id: str, membership: tuple[str, str]) -> bool:
        """Whether it may know the party of that role and id: every one, itself, or the other one of a membership."""
        if self.scope.role in ("operator", role):
            return self.scope.id in ("", id)
        return membership in self._snapshot.members

    def _known(self) -> dict[str, tuple[str, str]]:
        """(currency, time zone) of the clients that the scope sees: a report must not tell another's."""
        return {client.id: (client.currency, client.timezone) for client in self.clients()}

    @property
    def _snapshot(self) -> Snapshot:
        snapshot = self._registry.snapshot
        if snapshot is None:
            raise Unavailable("clients and partners have not been read from Redis yet; please try again in a moment")
        return snapshot


def _agreement(snapshot: Snapshot, client: str, partner: str) -> Agreement | None:
    pair = client, partner
    if pair not in snapshot.members or client not in snapshot.clients or partner not in snapshot.partners:
        return None
    return Agreement(
        snapshot.clients[client], snapshot.partners[partner], snapshot.members[pair], snapshot.terms.get(pair, ())
    )
