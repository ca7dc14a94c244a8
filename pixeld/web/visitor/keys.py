"""What the visitors' pages find in their application."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp.web import AppKey

from pixeld.domain.ports import Affinities, Registry
from pixeld.domain.tokens import Keyring
from pixeld.tracking.cookies import Cookies
from pixeld.web.rate import Limiter

FRAMES = 24  #: shops on one page, each in a frame of its own
PER_S, BURST = 2.0, 4 * FRAMES  #: shops' pages for one address: on average, and at once


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the pages are made of. `limiter` bounds how many shops' pages one address gets, as they ask the warehouse.
    `p3p` is the P3P header's value, None when P3P is off; `honour_dnt` the setting.
    """

    registry: Registry
    affinities: Affinities
    limiter: Limiter
    keys: Keyring
    cookies: Cookies
    p3p: str | None
    honour_dnt: bool


SERVICES: AppKey[Services] = AppKey("visitor", Services)
