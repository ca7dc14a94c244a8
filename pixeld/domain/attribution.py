"""Which referral earns an order: the rule, and nothing else."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from pixeld.domain.events import Method
from pixeld.domain.tokens import Keyring, Referral


@dataclass(frozen=True, slots=True)
class Attribution:
    """The referral that earned the order, and how it was found."""

    referral: Referral
    method: Method


def candidates(click: str, cookie: Iterable[str]) -> Iterable[tuple[Method, str]]:
    """In the order in which they are asked: the click id that the shop handed over, then the cookie's, newest first."""
    if click:
        yield Method.CLICK, click
    for click_id in cookie:
        yield Method.COOKIE, click_id


def attribute(
    found: Iterable[tuple[Method, str]],
    *,
    client: str,
    now_s: int,
    window_s: int,
    approved: Container[str],
    keys: Keyring,
) -> Attribution | None:
    """Last click: the first candidate that counts, or None.

    A candidate counts if its signature holds, it names this client, its partner's membership is approved now, and its age is
    within the window: 0 ≤ age ≤ window.
    """
    for method, click_id in found:
        referral = keys.verify(click_id, client)
        if referral is not None and referral.partner in approved and 0 <= now_s - referral.clicked_at <= window_s:
            return Attribution(referral, method)
    return None
