"""What an order earns: in whole minor units, exactly."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.commission import Terms, amended, commission_minor, cut, in_force, rates
from pixeld.domain.money import EXPONENTS, to_minor
from pixeld.errors import BadInput

DAY = date(2027, 1, 15)


def at(day, hour=0, minute=0, second=0):
    return int(datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC).timestamp())


def earned(amount, agreement, currency="EUR", own="EUR", at_s=None):
    return commission_minor(
        to_minor(amount, currency), currency == own, at(DAY) if at_s is None else at_s, rates(agreement, own)
    )


@pytest.mark.parametrize(
    ("amount", "agreement", "currency", "minor"),
    [
        pytest.param("49.90", [], "EUR", 0, id="no terms"),
        pytest.param("49.90", [Terms()], "EUR", 0, id="terms of nothing"),
        pytest.param("49.90", [Terms("10")], "EUR", 499, id="a percentage"),
        pytest.param("49.90", [Terms("0", "2.50")], "EUR", 250, id="a flat amount"),
        pytest.param("49.90", [Terms("10", "2.50")], "EUR", 749, id="both add up"),
        pytest.param("49.90", [Terms("10", "2.50")], "USD", 499, id="the flat amount only in the client's currency"),
        pytest.param("0.05", [Terms("50")], "EUR", 2, id="two and a half go down to even"),
        pytest.param("0.07", [Terms("50")], "EUR", 4, id="three and a half go up to even"),
        pytest.param("0.01", [Terms("50")], "EUR", 0, id="half goes down to nothing"),
        pytest.param("0.05", [Terms("50.0001")], "EUR", 3, id="more than half goes up"),
        pytest.param("100.00", [Terms("7.125")], "EUR", 712, id="712 and a half"),
        pytest.param("49.90", [Terms("100")], "EUR", 4990, id="everything"),
        pytest.param("0", [Terms("10", "2.50")], "EUR", 250, id="an order of nothing earns the flat amount"),
        pytest.param("1000", [Terms("3.3")], "JPY", 33, id="a currency without decimals"),
        pytest.param("49.90", [Terms("10", until_day="2027-01-14")], "EUR", 0, id="ended the day before"),
        pytest.param("49.90", [Terms("10", from_day="2027-01-16")], "EUR", 0, id="begins the day after"),
        pytest.param("49.90", [Terms("10", "0", "2027-01-15", "2027-01-15")], "EUR", 499, id="for this day alone"),
        pytest.param("49.90", [Terms("20"), Terms("10")], "EUR", 998, id="the membership's come first"),
        pytest.param(
            "49.90", [Terms("20", until_day="2027-01-14"), Terms("10")], "EUR", 499, id="the client's, once those have ended"
        ),
        pytest.param("49.90", [Terms("0"), Terms("10")], "EUR", 0, id="a membership that agreed on nothing gets nothing"),
    ],
)
def test_what_an_order_earns(amount, agreement, currency, minor):
    assert earned(amount, agreement, currency) == minor


@pytest.mark.parametrize(
    ("at_s", "minor"),
    [
        pytest.param(at(DAY) - 1, 0, id="the second before its first day"),
        pytest.param(at(DAY), 10, id="the first second"),
        pytest.param(at(DAY, 23, 59, 59), 10, id="the last second"),
        pytest.param(at(DAY) + 86_400, 0, id="the second after its last day"),
    ],
)
def test_days_are_those_of_utc_and_inclusive(at_s, minor):
    assert earned("1.00", [Terms("10", "0", "2027-01-15", "2027-01-15")], at_s=at_s) == minor


@pytest.mark.parametrize("text", ["2027-W03-1", "20270118", "2027-1-18", "2027-01-18 ", "1969-12-31", "2100-01-01", "2027-02-29"])
def test_a_day_is_written_in_one_way_and_there_is_one(text):
    for name in ("from_day", "until_day"):
        with pytest.raises(BadInput, match="must be a day such as"):
            Terms(**{name: text})


def test_terms_until_the_last_day_there_is_stand_in_place_of_endless_ones():
    assert amended([Terms("5")], Terms("7", until_day="2099-12-31")) == (Terms("7", until_day="2099-12-31"),)


def percents():
    """Any there is; and often one that leaves halves to be rounded."""
    return st.sampled_from(["50", "12.5", "2.5", "0.5", "62.5"]) | st.integers(0, 10**6).map(
        lambda n: f"{n // 10**4}.{n % 10**4:04}"
    )


@given(st.integers(0, 10**16), percents())
def test_a_percentage_is_what_exact_fractions_rounded_half_to_even_give(amount_minor, percent):
    """Python's round() of a Fraction rounds half to even."""
    minor = commission_minor(amount_minor, False, at(DAY), rates([Terms(percent)], "EUR"))
    assert type(minor) is int
    assert minor == round(amount_minor * Fraction(percent) / 100)


@given(
    st.sampled_from(sorted(EXPONENTS)), st.integers(0, 10**12 - 1), st.integers(0, 9999), percents(), st.integers(0, 10**6)
)
def test_percent_and_flat_are_what_decimals_give(currency, whole, decimals, percent, flat):
    places = EXPONENTS[currency]
    amount = f"{whole}.{decimals:04}"[: -(4 - places) or None].removesuffix(".")
    unit = Decimal(1).scaleb(-places)
    with localcontext(prec=60):
        owed = (Decimal(amount) * Decimal(percent) / 100).quantize(unit, ROUND_HALF_EVEN) + flat
        assert earned(amount, [Terms(percent, str(flat))], currency, currency) == owed.scaleb(places)


def test_no_order_fails_for_a_flat_amount_that_the_currency_cannot_express():
    assert earned("1000", [Terms("10", "1.50")], "JPY", "JPY") == 100


DAYS = st.integers(0, 40).map(lambda n: date(2027, 1, 1) + timedelta(n))


@st.composite
def terms(draw):
    first, last = sorted((draw(DAYS), draw(DAYS)))
    percent = str(draw(st.integers(0, 100)))
    return Terms(percent, "0", draw(st.sampled_from(["", str(first)])), draw(st.sampled_from(["", str(last)])))


@given(st.lists(terms(), max_size=6), DAYS)
def test_an_agreement_that_is_cut_stands_until_the_day_before(changes, end):
    agreement = ()
    for change in changes:
        agreement = amended(agreement, change)
    for n in range(-2, 44):
        day = date(2027, 1, 1) + timedelta(n)
        assert in_force(cut(agreement, end), day) == (None if day >= end else same(in_force(agreement, day), end))


def same(terms, end):
    """The terms as they are cut at `end`."""
    return terms and replace(terms, until_day=str(min(terms.last, end - timedelta(days=1))))


@given(st.lists(terms(), max_size=6))
def test_on_each_day_the_terms_stand_that_were_agreed_on_last(changes):
    agreement = ()
    for change in changes:
        agreement = amended(agreement, change)
    for n in range(-2, 44):
        day = date(2027, 1, 1) + timedelta(n)
        hold = [change for change in changes if change.first <= day <= change.last]
        assert earned("1.00", agreement, at_s=at(day, 12)) == (int(hold[-1].percent) if hold else 0)
