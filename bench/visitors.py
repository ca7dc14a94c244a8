"""What visitors' browsers send: whole requests as bytes, of which only numbers are filled in when they leave."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass

CLICK, IMPRESSION, ORDER, RELOAD = range(4)
KINDS = ("click", "impression", "order", "reload")

_LANGUAGES = ("de-DE,de;q=0.9,en;q=0.8", "en-US,en;q=0.9", "fr-FR,fr;q=0.9,en-US;q=0.7", "pl,en;q=0.8", "it-IT,it;q=0.9")
_END = "\r\n"
_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9"
_FETCH = "Sec-Fetch-Dest: {dest}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Site: cross-site\r\n"
# (user agent, what it accepts as an image, its encodings, other headers of its own)
_WEBKIT = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 {}Safari/537.36{}"
_BLINK_IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
_BLINK_HINTS = 'sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"\r\nsec-ch-ua-mobile: ?{}\r\nsec-ch-ua-platform: "{}"\r\n'
_BROWSERS = (
    (_WEBKIT.format("Windows NT 10.0; Win64; x64", "", ""), _BLINK_IMAGE, "br, zstd", _BLINK_HINTS.format(0, "Windows")),
    (_WEBKIT.format("Linux; Android 10; K", "Mobile ", ""), _BLINK_IMAGE, "br, zstd", _BLINK_HINTS.format(1, "Android")),
    (
        _WEBKIT.format("Macintosh; Intel Mac OS X 10_15_7", "", " Edg/131.0.0.0"),
        _BLINK_IMAGE,
        "br, zstd",
        _BLINK_HINTS.format(0, "macOS"),
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.1 Mobile/15E148 Safari/604.1",
        "image/webp,image/avif,image/jxl,image/heic,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "br",
        "",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.1 Safari/605.1.15",
        "image/webp,image/avif,image/jxl,image/heic,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "br",
        "",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
        "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "br, zstd",
        "",
    ),
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser, and the referral cookie that a click gave it (`name=value`; empty before)."""

    page_headers: bytes
    image_headers: bytes

    @classmethod
    def number(cls, n: int, host: str, cookie: str = "") -> Visitor:
        """The n-th: browsers and languages take turns, so that any thirty in a row are all different."""
        agent, image, encodings, own = _BROWSERS[n % len(_BROWSERS)]
        language = _LANGUAGES[n // len(_BROWSERS) % len(_LANGUAGES)]

        def headers(accept: str, dest: str, mode: str, referer: str) -> bytes:
            return (
                f" HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: {accept}\r\nAccept-Language: {language}\r\n"
                f"Accept-Encoding: gzip, deflate, {encodings}\r\n{own}Referer: {referer}\r\n"
                f"{_FETCH.format(dest=dest, mode=mode)}{f'Cookie: {cookie}{_END}' if cookie else ''}\r\n"
            ).encode()

        return cls(
            headers(f"{_PAGE},*/*;q=0.8", "document", "navigate", "https://blog.example/"),
            headers(image, "image", "no-cors", "https://shop.example/"),
        )


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
