"""The two cookies that hold clicks: under which names, where a browser keeps them, and how they go again."""

from __future__ import annotations

from typing import NamedTuple

from pixeld.domain import referral
from pixeld.tracking.paths import PREFIX


class Cookies(NamedTuple):
    """The referral cookie, which a click sets for one client's path, and the landing cookie, by their names."""

    referral: str
    landing: str

    def clicks(self, header: str) -> list[str]:
        """The click ids in a `Cookie` header, newest first: well-formed, not yet verified."""
        landed, referred = referral.read(header, self.landing), referral.read(header, self.referral)
        return referral.merged(landed, referred) if landed and referred else landed or referred

    def of_client(self, client: str, max_age_s: int) -> tuple[str, str]:
        """The `Set-Cookie` of a client's referral cookie: what stands before its value and after it."""
        return f"{self.referral}=", f"; Path={PREFIX}{client}/; {_attributes(max_age_s)}"

    def of_page(self, max_age_s: int) -> tuple[str, str]:
        """The landing cookie's, likewise. `Partitioned`: kept for the one site whose page shows the beacon, where browsers
        block or part the cookies of others; `Path=/`, because `__Host-` asks for it.
        """
        return f"{self.landing}=", f"; Path=/; {_attributes(max_age_s)}; Partitioned"

    def deletions(self, client: str) -> tuple[str, str]:
        """The `Set-Cookie` headers after which a browser holds nothing of this client: one for each name, in their order."""
        return "".join(self.of_client(client, 0)), "".join(self.of_page(0))


def _attributes(max_age_s: int) -> str:
    return f"Max-Age={max_age_s}; Secure; HttpOnly; SameSite=None"
