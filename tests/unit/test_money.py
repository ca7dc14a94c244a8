"""Money is read strictly and kept in minor units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.money import EXPONENTS, to_minor, to_text


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        pytest.param("12.50", "USD", 1250, id="two decimals"),
        pytest.param("12.5", "USD", 1250, id="fewer decimals than the currency has"),
        pytest.param("12", "USD", 1200, id="none"),
        pytest.param("0", "EUR", 0, id="nothing"),
        pytest.param("007", "EUR", 700, id="leading zeros"),
        pytest.param("1000", "JPY", 1000, id="JPY has no decimals"),
        pytest.param("1.234", "KWD", 1234, id="KWD has three"),
        pytest.param("1.2345", "CLF", 12345, id="CLF has four"),
        pytest.param("999999999999.99", "USD", 99999999999999, id="twelve digits"),
    ],
)
def test_read(text, currency, minor):
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        pytest.param("12,34", "EUR", id="comma"),
        pytest.param("1e3", "USD", id="exponent"),
        pytest.param("NaN", "USD", id="not a number"),
        pytest.param("inf", "USD", id="infinite"),
        pytest.param("-1", "USD", id="minus"),
        pytest.param("+1", "USD", id="plus"),
        pytest.param("$5", "USD", id="symbol"),
        pytest.param("5 ", "USD", id="space"),
        pytest.param("", "USD", id="empty"),
        pytest.param("1.", "USD", id="point without decimals"),
        pytest.param(".5", "USD", id="no digit before the point"),
        pytest.param("1.234", "USD", id="more decimals than USD has"),
        pytest.param("1.0", "JPY", id="decimals in JPY"),
        pytest.param("1234567890123", "USD", id="thirteen digits"),
        pytest.param("1.23456", "CLF", id="five decimals"),
        pytest.param("١٢", "USD", id="other scripts' digits"),
        pytest.param("1_000", "USD", id="underscore"),
        pytest.param("1\n", "USD", id="line break"),
        pytest.param("1", "XYZ", id="unknown currency"),
        pytest.param("1", "XAU", id="gold has no minor unit"),
        pytest.param("1", "usd", id="lower case currency"),
    ],
)
def test_refused(text, currency):
    with pytest.raises(ValueError, match="amount|decimals"):
        to_minor(text, currency)


@given(st.integers(0, 10**15), st.sampled_from(sorted(EXPONENTS)))
def test_written_and_read_back(minor, currency):
    assert to_minor(to_text(minor % 10**12, currency), currency) == minor % 10**12


@pytest.mark.parametrize(
    ("minor", "currency", "text"), [(5, "USD", "0.05"), (5, "JPY", "5"), (5, "KWD", "0.005"), (-1250, "EUR", "-12.50")]
)
def test_written_with_all_decimals(minor, currency, text):
    assert to_text(minor, currency) == text
