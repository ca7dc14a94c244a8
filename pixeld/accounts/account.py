"""Who logs in: an account, its role, and the personal data that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pixeld.domain.reports import Scope


class Role(StrEnum):
    """Whose eyes and hands an account is."""

    PARTNER = "partner"
    CLIENT = "client"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Contact:
    """Personal data. Encrypted at rest, never logged, never on the audit stream. Site and promotion are partners' only."""

    contact_name: str
    email: str
    address: str = ""
    site: str = ""
    promotion: str = ""

    def __repr__(self) -> str:
        return "<Contact>"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who logs in, as of `version`. `subject` is the id of the partner or client, empty for an operator."""

    id: str
    role: Role
    subject: str
    state: str  #: "unconfirmed" or "active"
    contact: Contact
    other_programmes: bool  #: whether clients may write to it about programmes that it isn't a member of
    totp: bool  #: whether log-in wants a code as well
    accepted: int  #: the newest version of the privacy policy that it accepted; 0 for none
    created_ms: int
    version: int  #: what `expected` has to be to change it
    uses: Mapping[int, bool] = field(default_factory=dict)  #: answers to questions of consent, by policy version
    recovery: int = 0  #: how many recovery codes it has left, for a log-in without its authenticator

    @property
    def scope(self) -> Scope:
        """What it may read: derived from role and subject alone."""
        return Scope(self.role.value, self.subject)

    def allows(self, version: int) -> bool:
        """Whether its data may be used as that version of the policy says: once it said yes, or registered under that version
        or a later one. Until then the old use holds.
        """
        return self.uses.get(version, version <= self.accepted)

    @property
    def who(self) -> str:
        """How the audit stream names it."""
        if self.role is Role.PARTNER:
            return f"partner:{self.subject}"
        return f"client:{self.subject}/{self.id}" if self.role is Role.CLIENT else f"operator:{self.id}"
