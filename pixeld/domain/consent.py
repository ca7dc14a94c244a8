"""Whether a visitor's request may be tracked, and by which signal that was decided: the words, and the rule.

docs/consent.md is this rule as a table, and the test of it.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple


class Mode(StrEnum):
    """What a client's operator asks of visitors who say nothing."""

    REQUIRE = "require"  #: consent first, where it applies
    CASHBACK_EXEMPT = "cashback_exempt"  #: the visitor asked for a reward, which can't be paid without the referral
    OPERATOR_ASSERTS = "operator_asserts"  #: whoever operates the links answers for it


class Where(StrEnum):
    """Where `require` applies."""

    EEA = "eea"  #: in the EEA, the United Kingdom and Switzerland, and where the country is not known
    EVERYWHERE = "everywhere"


class Say(Enum):
    """What one signal says. Whatever can't be read says no."""

    NOTHING = 0
    NO = 1
    YES = 2


class Verdict(StrEnum):
    """What was decided, and by what. Stored with every event; of the signal itself nothing is."""

    REFUSED_OPT_OUT = "refused opt_out"  #: the opt-out cookie
    REFUSED_GPC = "refused gpc"  #: `Sec-GPC: 1`
    REFUSED_DNT = "refused dnt"  #: `DNT: 1`, where the setting honours it
    REFUSED_TCF = "refused tcf"
    REFUSED_GPP = "refused gpp"
    REFUSED_US_PRIVACY = "refused us_privacy"
    REFUSED_CONSENT = "refused consent"  #: `consent=0`
    REFUSED_REQUIRE = "refused require"  #: nobody said yes, and the client requires it here
    ALLOWED_TCF = "allowed tcf"
    ALLOWED_GPP = "allowed gpp"
    ALLOWED_CONSENT = "allowed consent"  #: `consent=1`
    ALLOWED_ELSEWHERE = "allowed elsewhere"  #: the client requires consent, but not here
    ALLOWED_CASHBACK_EXEMPT = "allowed cashback_exempt"
    ALLOWED_OPERATOR_ASSERTS = "allowed operator_asserts"


REFUSED = frozenset(verdict for verdict in Verdict if verdict.startswith("refused "))
#: The visitor said yes, beyond what nobody objected to.
EXPLICIT = frozenset((Verdict.ALLOWED_TCF, Verdict.ALLOWED_GPP, Verdict.ALLOWED_CONSENT))


class Signals(NamedTuple):
    """What one request says. `dnt` is set only where it is honoured."""

    opt_out: bool = False
    gpc: bool = False
    dnt: bool = False
    tcf: Say = Say.NOTHING
    gpp: Say = Say.NOTHING
    us_privacy: Say = Say.NOTHING
    consent: Say = Say.NOTHING


SILENCE = Signals()

# ISO 3166: the EEA with the parts of it that have codes of their own, the United Kingdom, Switzerland; what some write for
# Greece and for the United Kingdom (EL, UK); and what databases and proxies write when they don't know (EU, T1, XX, ZZ).
_CONSENT_LAW = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT",
        "NL", "PL", "PT", "RO", "SE", "SI", "SK", "IS", "LI", "NO", "AX", "GF", "GP", "MF", "MQ", "RE", "YT", "GB", "GI", "CH",
        "EL", "UK", "EU", "T1", "XX", "ZZ", "",
    }
)  # fmt: skip


def decide(signals: Signals, mode: str, where: str, country: str) -> Verdict:
    """The one precedence: objections of the browser, then any no, then a yes, then the client's mode.

    `country` is an ISO 3166 code in capitals, empty when nobody knows it.
    """
    if signals.opt_out:
        return Verdict.REFUSED_OPT_OUT
    if signals.gpc:
        return Verdict.REFUSED_GPC
    if signals.dnt:
        return Verdict.REFUSED_DNT
    for say, refused in (
        (signals.tcf, Verdict.REFUSED_TCF),
        (signals.gpp, Verdict.REFUSED_GPP),
        (signals.us_privacy, Verdict.REFUSED_US_PRIVACY),
        (signals.consent, Verdict.REFUSED_CONSENT),
    ):
        if say is Say.NO:
            return refused
    for say, allowed in (
        (signals.tcf, Verdict.ALLOWED_TCF),
        (signals.gpp, Verdict.ALLOWED_GPP),
        (signals.consent, Verdict.ALLOWED_CONSENT),
    ):
        if say is Say.YES:
            return allowed
    if mode != Mode.REQUIRE:
        return Verdict.ALLOWED_CASHBACK_EXEMPT if mode == Mode.CASHBACK_EXEMPT else Verdict.ALLOWED_OPERATOR_ASSERTS
    if where == Where.EVERYWHERE or country in _CONSENT_LAW:
        return Verdict.REFUSED_REQUIRE
    return Verdict.ALLOWED_ELSEWHERE
