"""Where hot and cold requests meet: one place that asks the tracker, hands the event in, and counts what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import formatdate
from typing import NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping, istr

from pixeld.domain.events import CLICK, IMPRESSION, Drop
from pixeld.domain.ports import Intake
from pixeld.metrics import Metrics
from pixeld.tracking.answer import NotTracking, Tracker
from pixeld.tracking.audience import Browser
from pixeld.tracking.replies import Answer, Reply
from pixeld.web.origin import Origin, Peer
from pixeld.web.rate import Limiter

log = logging.getLogger(__name__)
_LIMITED = (CLICK.name, IMPRESSION.name)  # an order is money, and never limited
_SEC_PURPOSE, _PURPOSE, _X_MOZ = _AHEAD = istr("Sec-Purpose"), istr("Purpose"), istr("X-Moz")
SEC_GPC, DNT = istr("Sec-GPC"), istr("DNT")


class Said(NamedTuple):
    """What a request's headers say, but for what is one visitor's own. `country` is what a proxy tells, whoever that is."""

    browser: Browser
    country: str


class Case:
    """One tracking request on its way to its reply; the Waiter of its event.

    `reply` is None while nobody can say yet what it will be. `release` is the holder's: called once it may be sent.
    """

    __slots__ = ("answer", "desk", "release", "reply")

    answer: Answer

    def __init__(self, desk: Desk, release: Callable[[], None]) -> None:
        self.desk, self.release = desk, release
        self.reply: Reply | None = None

    def settle(self, stored: bool) -> None:
        """See Waiter."""
        answer = self.answer if stored else self.desk.tracker.unstored(self.answer, Drop.NOT_DURABLE)
        self.reply, _, counted = answer
        self.desk.answers[counted] += 1


class Desk:
    """Takes tracking requests. Made by the composition root; `tracker` is replaced after every change of the registry.

    `clock` gives milliseconds since 1970, UTC. Each request is counted once, by what finally became of it. Without a `limiter`
    every address may send as much as it likes.
    """

    __slots__ = ("_date_from_ms", "answers", "clock", "date_line", "intake", "limiter", "metrics", "origin", "tracker")

    def __init__(
        self,
        tracker: Tracker,
        intake: Intake,
        metrics: Metrics,
        clock: Callable[[], int],
        origin: Origin,
        limiter: Limiter | None = None,
    ) -> None:
        self.tracker, self.intake, self.metrics, self.clock, self.origin = tracker, intake, metrics, clock, origin
        self.limiter, self.answers = limiter, metrics.answers
        self._date_from_ms = -1000
        #: `Date: …` (RFC 9110 §5.6.7) of the newest answer, and the empty line behind it. Replies leave milliseconds later.
        self.date_line = b""

    def take(self, case: Case, method: str, target: str, cookie: str, forwarded: str, said: Said, peer: Peer) -> None:
        """Answer a request; `case.reply` is there at once, or as soon as its event is stored or can't be.

        `forwarded` is its `X-Forwarded-For`, which nobody looks at unless `peer` is trusted. Raises NotTracking as the
        tracker does, and has then done nothing.
        """
        now_ms = self.clock()
        if not self._date_from_ms <= now_ms < self._date_from_ms + 1000:
            self._date_from_ms = now_ms // 1000 * 1000
            self.date_line = f"Date: {formatdate(now_ms // 1000, usegmt=True)}\r\n\r\n".encode()
        browser, told = said
        address, country = self.origin.of(peer, forwarded, told) if peer.trusted else (peer.address, peer.country)
        answer = self.tracker.answer((method, target, cookie, browser, address, country, now_ms))
        _, line, (kind, _) = answer
        if self.limiter is not None and line is not None and kind in _LIMITED:
            # A trusted proxy that names nobody is no visitor: one bucket for all behind it would drop nearly everything.
            named = not peer.trusted or address != peer.address
            if named and not self.limiter.allows(address):
                answer, line = self.tracker.limited(answer), None
        if line is not None:
            case.answer = answer
            if self.intake.append(line, case):
                return
            answer = self.tracker.unstored(answer, Drop.BUFFER_FULL)
        case.reply, _, counted = answer
        self.answers[counted] += 1

    def failed(self, error: Exception) -> None:
        """Count and tell that an answer raised; for a page's address, that is as it should be."""
        if isinstance(error, NotTracking):
            return
        self.metrics.add("pixeld_answer_errors_total")
        log.error("an answer failed; the request is tried again the ordinary way", exc_info=error)

    def take_parsed(self, case: Case, method: str, target: str, headers: MultiMapping[str], peer: Peer) -> None:
        """The same for a request whose headers have been parsed."""
        forwarded = self.origin.forwarded(headers) if peer.trusted else ""
        self.take(case, method, target, cookies(headers), forwarded, said(headers, self.origin), peer)


def said(headers: MultiMapping[str], origin: Origin) -> Said:
    """Read what headers say that doesn't differ from visitor to visitor."""
    get = headers.get
    browser = Browser.of(
        get(hdrs.USER_AGENT, ""),
        get(hdrs.ACCEPT_LANGUAGE, ""),
        ahead=_ahead(headers),
        gpc=says_1(headers, SEC_GPC),
        dnt=says_1(headers, DNT),
    )
    return Said(browser, origin.told(headers))


def cookies(headers: MultiMapping[str]) -> str:
    """A request's cookies. Several headers are one, which whoever translated it from HTTP/2 should have made of them."""
    return "; ".join(headers.getall(hdrs.COOKIE, ()))


def says_1(headers: MultiMapping[str], name: str) -> bool:
    """Whether a signal's header is `1`, or one of several is, or one in a list: said twice in two ways it is an objection."""
    return name in headers and any(value.strip(" \t") == "1" for value in ",".join(headers.getall(name)).split(","))


def _ahead(headers: MultiMapping[str]) -> bool:
    """Whether the browser fetches ahead of a visit: `prefetch`, alone or among a structured field's parameters."""
    # Nearly no request has one of the three: to find that out costs 0.2 µs, to look at each value 1.1.
    if _SEC_PURPOSE in headers or _PURPOSE in headers or _X_MOZ in headers:
        return any("prefetch" in headers.get(name, "").lower() for name in _AHEAD)
    return False
