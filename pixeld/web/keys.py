"""What handlers find in their application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from aiohttp.web import AppKey

from pixeld.accounts.parties import Parties
from pixeld.domain.ports import Decisions, Registry, Reports
from pixeld.metrics import Metrics
from pixeld.privacy import Policy
from pixeld.rights.rights import Rights


@dataclass(frozen=True, slots=True)
class Health:
    """One dependency's state: whether it does its part, and what an operator should know about it."""

    ok: bool
    detail: dict[str, Any]


class Operations(Protocol):
    """What the admin listener may ask of the running server."""

    async def health(self) -> dict[str, Health]:
        """The state of every dependency, by its name."""

    async def flush(self) -> int:
        """Flush what is queued now; how many events were flushed. Unavailable when it does not happen in time."""

    async def sql(self, statement: str) -> list[dict[str, Any]]:
        """The rows of one reading statement. BadInput for any other."""

    def tail(self) -> AsyncIterator[dict[str, Any] | None]:
        """Every event from now on, with its kind; None now and then, so that a peer who has left is noticed."""

    def today(self) -> date:
        """The date in UTC."""


ADMIN = "admin"  #: whose doing it is, on the audit stream, when the admin token asks

REGISTRY: AppKey[Registry] = AppKey("registry", Registry)
REPORTS: AppKey[Reports] = AppKey("reports", Reports)
DECISIONS: AppKey[Decisions] = AppKey("decisions", Decisions)
METRICS: AppKey[Metrics] = AppKey("metrics", Metrics)
OPERATIONS: AppKey[Operations] = AppKey("operations", Operations)
ADMIN_TOKEN: AppKey[str] = AppKey("admin_token", str)
POLICY: AppKey[Policy] = AppKey("policy", Policy)
SINGLE: AppKey[bool] = AppKey("single", bool)  #: whether single events may be seen with their traits; not there: no
EXACT: AppKey[bool] = AppKey("exact", bool)  #: whether exact counts of visitors by their traits may be seen; not there: no
TRACKER_URL: AppKey[str] = AppKey("tracker_url", str)  #: where links lead, without a slash at its end
RIGHTS: AppKey[Rights] = AppKey("rights", Rights)
PARTIES: AppKey[Parties] = AppKey("parties", Parties)  #: only there when the portal is on
