"""Amounts: as Python's decimals understand them, or refused; and back to the same text."""

import re
from decimal import Decimal, localcontext

from pixeld.domain.money import EXPONENTS, to_minor, to_text
from tests.fuzz import text

CURRENCIES = [*sorted(EXPONENTS), "XXX", "xau", "", "EURO"]
DIGITS = set("0123456789")


def reference(amount, currency):
    """The rules once more, without an expression: minor units, or None."""
    whole, point, decimals = amount.partition(".")
    exponent = EXPONENTS.get(currency)
    if exponent is None or not 1 <= len(whole) <= 12 or bool(point) is not bool(decimals) or len(decimals) > min(4, exponent):
        return None
    return int(Decimal(amount).scaleb(exponent)) if set(whole + decimals) <= DIGITS else None


def check(data):
    """A currency by its number, and an amount that is anything; the same bytes as a number of minor units."""
    currency, amount = CURRENCIES[(data or b"\0")[0] % len(CURRENCIES)], text(data[1:])
    try:
        minor = to_minor(amount, currency)
    except ValueError:
        minor = None
    assert minor == reference(amount, currency)
    if minor is not None:
        shown = to_text(minor, currency)
        assert 0 <= minor < 10**16
        assert Decimal(shown) == Decimal(amount)
        assert to_minor(shown, currency) == minor and to_text(to_minor(shown, currency), currency) == shown

    minor, exponent = int.from_bytes(data[1:9], signed=True), EXPONENTS.get(currency, 0)
    shown = to_text(minor, currency)
    assert re.fullmatch(rf"-?\d+\.\d{{{exponent}}}" if exponent else r"-?\d+", shown)
    with localcontext(prec=40):
        assert Decimal(shown).scaleb(exponent) == minor
