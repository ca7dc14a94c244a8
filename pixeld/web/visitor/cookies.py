"""What a browser's cookies say of its visitor's clicks to one client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pixeld.domain import referral
from pixeld.domain.registry import Client, Partner
from pixeld.domain.tokens import Keyring
from pixeld.tracking.cookies import Cookies

_DAY_S = 86_400


class Click(NamedTuple):
    """One click: to which partner's credit it may be, when it was, and until when it counts (seconds since 1970)."""

    id: str
    partner: str
    at_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a browser holds of one client. `unreadable` is how many of the entries sent here were not signed here."""

    clicks: tuple[Click, ...]  #: newest first
    unreadable: int
    cookies: frozenset[str]  #: the names of what it sent

    @property
    def until_s(self) -> int:
        """When the newest click stops to count, and the browser drops it (seconds since 1970)."""
        return max((click.until_s for click in self.clicks), default=0)

    @classmethod
    def of(cls, header: str, cookies: Cookies, keys: Keyring, client: Client, partners: Mapping[str, Partner]) -> Held:
        """What a `Cookie` header says about this client."""
        own, landed = referral.read(header, cookies.referral), referral.read(header, cookies.landing)
        window_s = client.window_days * _DAY_S
        clicks = []
        for click_id in dict.fromkeys((*own, *landed)):
            if said := keys.verify(click_id, client.id):
                partner, at_s = said
                name = partners[partner].name if partner in partners else partner
                clicks.append(Click(click_id, name, at_s, at_s + window_s))
        # The landing page's cookie is sent to every client's path, and what doesn't verify in it may be another one's.
        unreadable = sum(keys.verify(click_id, client.id) is None for click_id in own)
        sent = frozenset(name for name in cookies if referral.held(header, name))
        if cookies.referral in sent and not own:
            unreadable += 1
        return cls(tuple(sorted(clicks, key=lambda click: -click.at_s)), unreadable, sent)
