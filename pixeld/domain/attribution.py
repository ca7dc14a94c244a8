"""Which referral earns an order: the rule, and nothing else."""

from __future__ import annotations

from collections.abc import Container, Iterable

from pixeld.domain.events import Method
from pixeld.domain.tokens import Keyring

_CLICK, _COOKIE = str(Method.CLICK), str(Method.COOKIE)  # looking a member up takes 60 ns, encoding one as much again
NOBODY = ("", 0, "", "")


def attribute(
    keys: Keyring, click: str, cookie: Iterable[str], client: str, now_s: int, window_s: int, approved: Container[str]
) -> tuple[str, int, str, str]:
    """Last click: the first candidate that counts, as (partner, clicked at, click id, Method); NOBODY for none.

    The click id that the shop handed over (`""` for none) is asked first, then the cookies', newest first. A candidate counts
    if its signature holds, it names this client, its partner's membership is approved now, and its age is within the window:
    0 ≤ age ≤ window.
    """
    method = _CLICK if click else _COOKIE
    for click_id in (click, *cookie) if click else cookie:
        referral = keys.verify(click_id, client)
        if referral is not None:
            partner, clicked_at = referral
            if partner in approved and 0 <= now_s - clicked_at <= window_s:
                return partner, clicked_at, click_id, method
        method = _COOKIE
    return NOBODY
