"""What a request says about tracking: read where there is anything to read, decoded, and forgotten."""

from __future__ import annotations

from collections.abc import Callable

from pixeld.domain import optout
from pixeld.domain.consent import Say, Signals
from pixeld.tracking import gpp, tcf
from pixeld.tracking.audience import Browser
from pixeld.tracking.query import form_text, url_text

#: The query's parameters that are signals.
NAMES = frozenset(("consent", "gdpr", "gdpr_consent", "gpp", "gpp_sid", "us_privacy"))


def read(query: str, cookie: str, browser: Browser, *, honour_dnt: bool, vendor: int) -> Signals:
    """The signals of one request. Never raises: what can't be read, or is said twice in two ways, says no.

    An empty value is one that was not given. `vendor` is the operator's own id on the IAB's list, or 0.
    """
    said = _Said(query)
    opt_out, dnt = optout.chosen(cookie), honour_dnt and browser.dnt
    if said.nothing:
        return Signals(opt_out, browser.gpc, dnt)
    return Signals(
        opt_out=opt_out,
        gpc=browser.gpc,
        dnt=dnt,
        tcf=_strictly(_tcf, said, vendor),
        gpp=_strictly(_gpp, said, vendor),
        us_privacy=_strictly(_us_privacy, said, vendor),
        consent=_strictly(_consent, said, vendor),
    )


class _Said:
    """The signals' values in a query."""

    def __init__(self, query: str) -> None:
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


def _strictly(decode: Callable[[_Said, int], Say], said: _Said, vendor: int) -> Say:
    try:
        return decode(said, vendor)
    except ValueError:
        return Say.NO


def _tcf(said: _Said, vendor: int) -> Say:
    applies, text = said["gdpr"], said["gdpr_consent"]
    if applies == "0" or not (applies or text):
        return Say.NOTHING
    if applies not in ("", "1"):
        return Say.NO
    return tcf.says(text, vendor)


def _gpp(said: _Said, vendor: int) -> Say:
    text, ids = said["gpp"], said["gpp_sid"]
    applicable = gpp.section_ids(ids) if ids else None
    if (applicable is None and not text) or applicable == frozenset():
        return Say.NOTHING
    return gpp.says(text, applicable, vendor)


def _us_privacy(said: _Said, _: int) -> Say:
    text = said["us_privacy"]
    return gpp.us_privacy(text) if text else Say.NOTHING


def _consent(said: _Said, _: int) -> Say:
    text = said["consent"]
    return {"": Say.NOTHING, "1": Say.YES}.get(text, Say.NO)
