"""What a request says about tracking: read where there is anything to read, decoded, and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from pixeld.domain import optout
from pixeld.domain.consent import Say, Signals, decide
from pixeld.domain.registry import Client
from pixeld.tracking import gpp, tcf
from pixeld.tracking.audience import Browser
from pixeld.tracking.facts import Facts
from pixeld.tracking.query import form_text, url_text

#: The query's parameters that are signals.
NAMES = frozenset(("consent", "gdpr", "gdpr_consent", "gpp", "gpp_sid", "us_privacy"))


def read(
    query: str, cookie: str, browser: Browser, *, honour_dnt: bool, vendor: int, purposes: Collection[int] = tcf.REFERRAL
) -> Signals:
    """The signals of one request. Never raises: what can't be read, or is said twice in two ways, says no.

    An empty value is one that was not given. `vendor` is the operator's own id on the IAB's list, or 0; `purposes` are what
    its strings are asked about.
    """
    said = _Said(query, vendor, purposes)
    opt_out, dnt = optout.chosen(cookie), honour_dnt and browser.dnt
    if said.nothing:
        return Signals(opt_out, browser.gpc, dnt)
    return Signals(
        opt_out=opt_out,
        gpc=browser.gpc,
        dnt=dnt,
        tcf=_strictly(_tcf, said),
        gpp=_strictly(_gpp, said),
        us_privacy=_strictly(_us_privacy, said),
        consent=_strictly(_consent, said),
    )


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides whether visitors may be tracked. `vendor` is the operator's own id on the IAB's list, or 0."""

    honour_dnt: bool
    vendor: int

    def verdict(self, facts: Facts, client: Client, query: str, purposes: Collection[int] = tcf.REFERRAL) -> str:
        """The Verdict on a request to a client, for these purposes."""
        _, _, cookie, browser, _, country, _ = facts
        said = read(query, cookie, browser, honour_dnt=self.honour_dnt, vendor=self.vendor, purposes=purposes)
        return str(decide(said, client.consent, client.consent_where, country))


class _Said:
    """The signals' values in a query, and what strings are asked about."""

    def __init__(self, query: str, vendor: int, purposes: Collection[int]) -> None:
        self.vendor, self.purposes = vendor, purposes
        self._values: dict[str, set[str]] = {}
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            name = url_text(name)  # whoever writes an underscore as %5F has said no less
            if name in NAMES:
                self._values.setdefault(name, set()).add(form_text(value))
        self.nothing = not self._values

    def __getitem__(self, name: str) -> str:
        """The value, or `""`. ValueError when there are two."""
        (value,) = self._values.get(name, {""})
        return value


def _strictly(decode: Callable[[_Said], Say], said: _Said) -> Say:
    try:
        return decode(said)
    except ValueError:
        return Say.NO


def _tcf(said: _Said) -> Say:
    applies, text = said["gdpr"], said["gdpr_consent"]
    if applies == "0" or not (applies or text):
        return Say.NOTHING
    if applies not in ("", "1"):
        return Say.NO
    return tcf.says(text, said.vendor, said.purposes)


def _gpp(said: _Said) -> Say:
    text, ids = said["gpp"], said["gpp_sid"]
    applicable = gpp.section_ids(ids) if ids else None
    if (applicable is None and not text) or applicable == frozenset():
        return Say.NOTHING
    return gpp.says(text, applicable, said.vendor, said.purposes)


def _us_privacy(said: _Said) -> Say:
    text = said["us_privacy"]
    return gpp.us_privacy(text) if text else Say.NOTHING


def _consent(said: _Said) -> Say:
    text = said["consent"]
    return {"": Say.NOTHING, "1": Say.YES}.get(text, Say.NO)
