"""Money: strict text in, integer minor units inside, decimal text out. Exponents are ISO 4217's, from the iso4217 package."""

from __future__ import annotations

from iso4217 import Currency

# Codes without a minor unit (gold, the testing code XTS, …) have no exponent and cannot be an order's currency.
EXPONENTS: dict[str, int] = {c.code: c.exponent for c in Currency if c.exponent is not None}

MAX_DIGITS = 12  #: before the point
_POWERS = (1, 10, 100, 1000, 10_000)  # ISO 4217's exponents are 0 to 4


def to_minor(text: str, currency: str) -> int:
    """`"12.5", "USD"` → 1250. At most 12 digits before the point and no more after it than the currency has.

    Raises ValueError for everything else: commas, signs, exponents, symbols, spaces, too many decimals, unknown currency.
    """
    exponent = EXPONENTS.get(currency)
    whole, point, decimals = text.partition(".")
    digits = whole + decimals
    # A third of the time that a regular expression takes; isdigit alone would let other scripts' digits through.
    if not (digits.isdigit() and digits.isascii() and 1 <= len(whole) <= MAX_DIGITS) or (point and not decimals):
        raise ValueError("not an amount")
    if exponent is None or len(decimals) > exponent:
        raise ValueError("unknown currency, or more decimals than it has")
    return int(digits) * _POWERS[exponent - len(decimals)]


def to_text(minor: int, currency: str) -> str:
    """1250, "USD" → `"12.50"`: always all of the currency's decimals, so that equal amounts are equal texts."""
    exponent = EXPONENTS.get(currency, 0)
    if exponent == 0:
        return str(minor)
    sign, digits = ("-", -minor) if minor < 0 else ("", minor)
    text = str(digits).rjust(exponent + 1, "0")
    return f"{sign}{text[:-exponent]}.{text[-exponent:]}"
