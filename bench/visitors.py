"""What visitors' browsers send: whole requests as bytes, of which only numbers are filled in when they leave."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.browsers import BLOG, BROWSERS, LANGUAGES, SHOP, tail

CLICK, IMPRESSION, ORDER, RELOAD = range(4)
KINDS = ("click", "impression", "order", "reload")


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser, and the referral cookie that a click gave it (`name=value`; empty before)."""

    page_headers: bytes
    image_headers: bytes

    @classmethod
    def number(cls, n: int, host: str, cookie: str = "") -> Visitor:
        """The n-th: browsers and languages take turns, so that any thirty in a row are all different."""
        browser, languages = BROWSERS[n % len(BROWSERS)], LANGUAGES[n // len(BROWSERS) % len(LANGUAGES)]
        page, image = browser.page(languages, BLOG, secure=True), browser.image(languages, SHOP, secure=True)
        return cls(tail(host, page, cookie), tail(host, image, cookie))


def amount_minor(order: int) -> int:
    """What the order of this number costs, in cents: from 1.00 to 300.99, hardly ever twice the same in a row."""
    return 100 + order * 7919 % 30_000


class Requests:
    """The requests of one run, told apart by `run`: a sub-id (`s1`) of clicks and impressions, and the start of order ids."""

    def __init__(self, client: str, partner: str, run: str) -> None:
        self._click = f"GET /t/{client}/c/{partner}?s1={run}".encode()
        self._impression = f"GET /t/{client}/i/{partner}.gif?s1={run}".encode()
        self._order = f"GET /t/{client}/o.gif?currency=EUR&order={run}-".encode()

    def click(self, visitor: Visitor) -> bytes:
        """The visitor follows the partner's link."""
        return self._click + visitor.page_headers

    def impression(self, visitor: Visitor) -> bytes:
        """The visitor sees the partner's banner."""
        return self._impression + visitor.image_headers

    def order(self, visitor: Visitor, number: int) -> bytes:
        """The visitor's thank-you page, the first time or again."""
        minor = amount_minor(number)
        return b"%s%d&amount=%d.%02d%s" % (self._order, number, minor // 100, minor % 100, visitor.image_headers)


def parse_mix(text: str) -> tuple[float, ...]:
    """`click=1,impression=5,order=2` as a weight for each of KINDS. ArgumentTypeError for anything else."""
    weights = dict.fromkeys(KINDS, 0.0)
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in weights:
            raise argparse.ArgumentTypeError(
                f"{name!r} is none of {', '.join(KINDS)}; a mix is like click=1,impression=5,order=2"
            )
        try:
            weights[name] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{name} must have a number behind it, like {name}=2; not {value!r}") from None
        if not 0 <= weights[name] < float("inf"):
            raise argparse.ArgumentTypeError(f"{name} must have a number from 0 up, not {value}")
    if not any(weights.values()):
        raise argparse.ArgumentTypeError("something must be above 0: a mix like click=1,impression=5,order=2")
    if weights["reload"] and not weights["order"]:
        raise argparse.ArgumentTypeError("reload repeats an order: the mix needs some, like order=2,reload=0.2")
    return tuple(weights.values())


def kinds(mix: tuple[float, ...], chance: random.Random) -> Iterator[int]:
    """Endless kinds of request, each as often as its weight says."""
    while True:
        yield from chance.choices(range(len(KINDS)), mix, k=1024)


def schedule(rate: float, duration_s: float, chance: random.Random | None = None) -> Iterator[float]:
    """When each is due, in seconds from the start: evenly, or, with `chance`, as independent visitors come (Poisson)."""
    if chance is None:
        yield from (n / rate for n in range(round(rate * duration_s)))
        return
    due = chance.expovariate(rate)
    while due < duration_s:
        yield due
        due += chance.expovariate(rate)
