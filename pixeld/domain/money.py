"""Money: strict text in, integer minor units inside, decimal text out. Exponents are ISO 4217's, from the iso4217 package."""

from __future__ import annotations

import re

from iso4217 import Currency

# Codes without a minor unit (gold, the testing code XTS, …) have no exponent and cannot be an order's currency.
EXPONENTS: dict[str, int] = {c.code: c.exponent for c in Currency if c.exponent is not None}

_AMOUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,4}))?", re.ASCII)


def to_minor(text: str, currency: str) -> int:
    """`"12.5", "USD"` → 1250. At most 12 digits before the point and no more after it than the currency has.

    Raises ValueError for everything else: commas, signs, exponents, symbols, spaces, too many decimals, unknown currency.
    """
    exponent = EXPONENTS.get(currency)
    match = _AMOUNT.fullmatch(text)
    if exponent is None or match is None:
        raise ValueError("not an amount")
    whole, decimals = match[1], match[2] or ""
    if len(decimals) > exponent:
        raise ValueError("more decimals than the currency has")
    return int(whole + decimals.ljust(exponent, "0"))


def to_text(minor: int, currency: str) -> str:
    """1250, "USD" → `"12.50"`: always all of the currency's decimals, so that equal amounts are equal texts."""
    exponent = EXPONENTS.get(currency, 0)
    if exponent == 0:
        return str(minor)
    sign, digits = ("-", -minor) if minor < 0 else ("", minor)
    text = str(digits).rjust(exponent + 1, "0")
    return f"{sign}{text[:-exponent]}.{text[-exponent:]}"
