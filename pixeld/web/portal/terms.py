"""Terms of commission as people read and write them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from pixeld.domain.commission import Terms, check_currency
from pixeld.errors import BadInput, InvalidForm
from pixeld.web.portal.figures import terms_text

FIELDS = ("percent", "flat", "from_day", "until_day")
_WRONG = {
    "percent": "The percentage must be a number from 0 to 100, such as 7.5.",
    "flat": "The amount for each order must be an amount of money, such as 2.50.",
    "from_day": "The first day must be a day such as 2026-03-31.",
    "until_day": "The last day must be a day such as 2026-03-31, or empty.",
}


class Line(NamedTuple):
    """Terms as the history shows them; `state` is over, in force or to come."""

    text: str
    from_day: str
    until_day: str
    state: str


def history(agreement: Iterable[Terms], currency: str, today: date) -> list[Line]:
    """An agreement, newest terms first."""
    return [
        Line(terms_text(terms, currency), terms.from_day, terms.until_day, _state(terms, today))
        for terms in sorted(agreement, key=lambda terms: terms.first, reverse=True)
    ]


def _state(terms: Terms, today: date) -> str:
    if terms.last < today:
        return "over"
    return "in force" if terms.first <= today else "to come"


def read(form: Mapping[str, str], currency: str, today: date) -> Terms:
    """The terms that a form asks for; without a first day they begin today. InvalidForm tells of every field that is wrong."""
    empty = {"percent": "0", "flat": "0", "from_day": str(today), "until_day": ""}
    given = {name: form.get(name, "").strip() or instead for name, instead in empty.items()}
    problems = {}
    for name, text in given.items():
        try:
            check_currency([Terms(**{name: text})], currency)
        except BadInput as error:
            no_amount = f"The amount for each order is no amount of {currency}."
            problems[name] = no_amount if "no amount of" in str(error) else _WRONG[name]
    if "from_day" not in problems and given["from_day"] < str(today):
        problems["from_day"] = "New terms begin today at the earliest: what earlier orders have earned stays."
    if not problems and given["until_day"] and given["until_day"] < given["from_day"]:
        problems["until_day"] = "The last day is before the first day."
    if problems:
        raise InvalidForm(problems)
    return Terms(**given)
