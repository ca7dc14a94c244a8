"""What an order earns: terms as the parties agree on them, and the arithmetic, in whole minor units.

An agreement is a history of terms, of which at most one holds on any day. A membership's own comes before the client's, on
the days on which one of its terms holds. What an order earns is decided once, when it comes, and stored with it: a change
of terms is for later orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from pixeld.domain.money import to_minor
from pixeld.domain.record import JsonRecord
from pixeld.errors import BadInput

MAX_TERMS = 100  #: in one agreement
_PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,4})?", re.ASCII)
_FLAT = re.compile(r"\d{1,12}(?:\.\d{1,4})?", re.ASCII)
_WHOLE = 1_000_000  # a rate of 100 %, in the ten-thousandths of a percent that it is written in
_FIRST, _LAST = date(1970, 1, 1), date(2099, 12, 31)
_FIELD = "commission"  # of the record that holds terms; what is wrong in them is told under this name


@dataclass(frozen=True, slots=True)
class Terms(JsonRecord):
    """`percent` of an order's amount, plus `flat` for each order in the client's currency.

    Both are decimal text, `percent` from 0 to 100 with at most 4 decimals. `from_day` and `until_day` are days in UTC,
    inclusive, such as 2026-03-31; empty: always was, never ends. BadInput (field `commission`) for anything else.
    """

    percent: str = "0"
    flat: str = "0"
    from_day: str = ""
    until_day: str = ""

    def __post_init__(self) -> None:
        if not _is(_PERCENT, self.percent) or self.millionths > _WHOLE:
            raise BadInput('percent must be text such as "7.5": 0 to 100, with at most 4 decimals', _FIELD)
        if not _is(_FLAT, self.flat):
            raise BadInput('flat must be an amount of money as text, such as "2.50"', _FIELD)
        for name, text in (("from_day", self.from_day), ("until_day", self.until_day)):
            if text != "" and not (isinstance(text, str) and _is_day(text)):
                raise BadInput(f"{name} must be a day such as 2026-03-31, or empty", _FIELD)
        if self.first > self.last:
            raise BadInput(f"terms from {self.from_day} until {self.until_day} hold on no day", _FIELD)

    @property
    def millionths(self) -> int:
        """`percent` as millionths of the amount."""
        whole, _, decimals = self.percent.partition(".")
        return int(whole + decimals.ljust(4, "0"))

    @property
    def first(self) -> date:
        """The first day on which they hold."""
        return date.fromisoformat(self.from_day) if self.from_day else _FIRST

    @property
    def last(self) -> date:
        """The last one."""
        return date.fromisoformat(self.until_day) if self.until_day else _LAST

    @classmethod
    def listed(cls, value: object, *, stored: bool = False) -> tuple[Terms, ...]:
        """An agreement from a JSON list of terms, in the order of time. BadInput when two of them hold on one day."""
        if not isinstance(value, (list, tuple)) or len(value) > MAX_TERMS:
            raise BadInput(f'commission must be a list of at most {MAX_TERMS} terms, such as [{{"percent": "7.5"}}]', _FIELD)
        found = [cls.from_store(each) if stored and isinstance(each, dict) else _read(each) for each in value]
        found.sort(key=lambda terms: terms.first)
        for before, after in pairwise(found):
            if before.last >= after.first:
                raise BadInput(f"two terms hold on {after.first}: end the earlier ones on the day before", _FIELD)
        return tuple(found)


def _read(value: object) -> Terms:
    """One of a list. The field of what is wrong is the list's."""
    if isinstance(value, Terms):
        return value
    try:
        return Terms.from_json(value)
    except BadInput as error:
        raise BadInput(f"commission: {error}", _FIELD) from None


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_day(text: str) -> bool:
    try:
        day = date.fromisoformat(text)
        return _FIRST <= day <= _LAST and str(day) == text  # 2026-W14-2 is one too, and days are compared as texts elsewhere
    except ValueError:
        return False


def check_currency(agreement: Iterable[Terms], currency: str) -> None:
    """BadInput when a flat amount has more decimals than the currency."""
    for terms in agreement:
        try:
            to_minor(terms.flat, currency)
        except ValueError:
            raise BadInput(f"flat is {terms.flat}, which is no amount of {currency}", _FIELD) from None


def amended(agreement: Iterable[Terms], new: Terms) -> tuple[Terms, ...]:
    """`agreement` with `new` on the days on which that holds, and as it was on the others."""
    found = [new]
    for terms in agreement:
        if terms.first < new.first:
            found.append(replace(terms, until_day=str(min(terms.last, new.first - timedelta(days=1)))))
        if terms.last > new.last:
            found.append(replace(terms, from_day=str(max(terms.first, new.last + timedelta(days=1)))))
    return Terms.listed(found)


def cut(agreement: Iterable[Terms], day: date) -> tuple[Terms, ...]:
    """`agreement` as it was until the day before `day`; from that day on nothing holds."""
    last = day - timedelta(days=1)
    return tuple(replace(terms, until_day=str(min(terms.last, last))) for terms in agreement if terms.first <= last)


def in_force(agreement: Iterable[Terms], day: date) -> Terms | None:
    """The terms of an agreement that hold on a day, in UTC."""
    return next((terms for terms in agreement if terms.first <= day <= terms.last), None)


# Terms, ready to be applied: (from this second on, before this one, since 1970; millionths of the amount; flat amount in minor
# units). Plain, because to unpack a named one takes a fifth longer. Of several the first one that holds counts.
Rate = tuple[int, int, int, int]
Rates = tuple[Rate, ...]


def rates(agreement: Iterable[Terms], currency: str) -> Rates:
    """`agreement` with a client whose currency is `currency`. A flat amount that this cannot express is none: registering
    one is refused, and no order must fail for it.
    """
    return tuple(
        (_second(terms.first), _second(terms.last + timedelta(days=1)), terms.millionths, _flat(terms.flat, currency))
        for terms in agreement
    )


def _second(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _flat(text: str, currency: str) -> int:
    try:
        return to_minor(text, currency)
    except ValueError:
        return 0


def commission_minor(amount_minor: int, own_currency: bool, at_s: int, agreed: Rates) -> int:
    """What an order of `amount_minor` at `at_s` earns its partner, in minor units of its currency: rounded half to even.

    0 when no rate holds. The flat part is only for orders in the client's currency (`own_currency`).
    """
    for first_s, after_s, millionths, flat_minor in agreed:
        if first_s <= at_s < after_s:
            exact = amount_minor * millionths
            earned = (exact + 500_000) // _WHOLE  # half up, so that what is odd and was exactly half is one too much
            if earned & 1 and exact % _WHOLE == 500_000:
                earned -= 1
            return earned + flat_minor if own_currency else earned
    return 0
