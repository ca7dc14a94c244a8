"""What the portal's handlers find in their application and their request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date

from aiohttp import web
from aiohttp.web import AppKey, RequestKey

from pixeld.accounts.accounts import Accounts
from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.messages import Messages
from pixeld.accounts.outbox import Outbox
from pixeld.accounts.parties import Parties
from pixeld.accounts.policies import Policies
from pixeld.accounts.sessions import Session, Sessions
from pixeld.domain.ports import Decisions, Registry, Reports
from pixeld.web.keys import Health
from pixeld.web.rate import Limiter

ACCOUNTS: AppKey[Accounts] = AppKey("accounts", Accounts)
SESSIONS: AppKey[Sessions] = AppKey("sessions", Sessions)
API_KEYS: AppKey[ApiKeys] = AppKey("api_keys", ApiKeys)
OUTBOX: AppKey[Outbox] = AppKey("outbox", Outbox)
POLICIES: AppKey[Policies] = AppKey("policies", Policies)
MESSAGES: AppKey[Messages] = AppKey("messages", Messages)
REGISTRY: AppKey[Registry] = AppKey("registry", Registry)
REPORTS: AppKey[Reports] = AppKey("reports", Reports)
TRACKER_URL: AppKey[str] = AppKey("tracker_url", str)  # where links and pixels point, without a slash at its end
TODAY: AppKey[Callable[[], date]] = AppKey("today")  # the date in UTC
DECISIONS: AppKey[Decisions] = AppKey("decisions", Decisions)
HEALTH: AppKey[Callable[[], Awaitable[Mapping[str, Health]]]] = AppKey("health")  # of every dependency, by its name
EXACT: AppKey[bool] = AppKey("exact", bool)  # whether operators may see exact counts of visitors by their traits
LIMITER: AppKey[Limiter] = AppKey("limiter", Limiter)  # counts the pages and forms of each account

SESSION: RequestKey[Session | None] = RequestKey("session")
POSTED: RequestKey[dict[str, str]] = RequestKey("posted")

# Of one account: faster than anybody reads. Whoever has registered may ask for reports, and every form writes.
_PER_S, _BURST = 2.0, 120


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the pages are made of."""

    parties: Parties
    registry: Registry
    reports: Reports
    tracker_url: str
    today: Callable[[], date]
    decisions: Decisions
    health: Callable[[], Awaitable[Mapping[str, Health]]]
    exact: bool = False


def install(app: web.Application, services: Services) -> None:
    """Let the handlers of `app` find the services."""
    parties = services.parties
    app[ACCOUNTS], app[SESSIONS], app[API_KEYS] = parties.accounts, parties.sessions, parties.keys
    app[OUTBOX], app[POLICIES], app[MESSAGES] = parties.outbox, parties.policies, parties.messages
    app[REGISTRY], app[REPORTS] = services.registry, services.reports
    app[TRACKER_URL], app[TODAY] = services.tracker_url, services.today
    app[DECISIONS], app[HEALTH] = services.decisions, services.health
    app[EXACT] = services.exact
    app[LIMITER] = Limiter(_PER_S, _BURST, time.monotonic)
