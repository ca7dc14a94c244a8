"""All services around accounts, as one value for whoever serves people."""

from __future__ import annotations

from dataclasses import dataclass

from pixeld.accounts.accounts import Accounts
from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.outbox import Outbox
from pixeld.accounts.policies import Policies
from pixeld.accounts.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Parties:
    """What the portal, the tenants' API and the admin API are made from; `web.keys.PARTIES` holds it."""

    accounts: Accounts
    sessions: Sessions
    keys: ApiKeys
    outbox: Outbox
    policies: Policies
