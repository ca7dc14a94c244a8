"""What the benchmarks conclude from their figures."""

import pytest

from bench import peers_page, regression
from bench.rounds import Round
from bench.servers import EMPTY

REFERENCE = {"ratio": 0.8, "taken": "2026-01-01, a machine"}


@pytest.mark.parametrize(
    ("ratios", "worse"),
    [
        pytest.param([0.8, 0.8, 0.8], False, id="as before"),
        pytest.param([1.6, 1.7, 1.8], False, id="faster"),
        pytest.param([0.681, 0.681, 0.681], False, id="slower by less than 15 %"),
        pytest.param([0.679, 0.679, 0.679], True, id="slower by more than 15 %"),
        pytest.param([0.1, 0.8, 0.8], False, id="one bad round of three"),
        pytest.param([0.1, 0.1, 0.8], True, id="two bad rounds of three"),
        pytest.param([0.1, 0.1, 0.1, 0.8, 0.8, 0.8, 0.8], False, id="bad at first, good when repeated"),
    ],
)
def test_a_regression_is_told_by_the_median_ratio(ratios, worse):
    assert bool(regression.verdict(ratios, REFERENCE)) is worse


def test_a_regression_says_what_how_much_and_what_to_do():
    said = regression.verdict([0.4, 0.4, 0.5], REFERENCE)
    for part in ("order pixel", "50%", "0.400, 0.400, 0.500", REFERENCE["taken"], 'make bench ARGS="regression --save"'):
        assert part in said


def a_round(server, number, rate, *, connections=256, errors=0):
    return Round(server, connections, number, errors, rate, 10.0, 0.0, 0.0, 1.0, 2.0, 50.0)


RUN = {"machine": "a machine", "rounds": 3, "seconds": 3, "missing": ["FastAPI: not installed"]}
EMPTIES = [a_round(EMPTY, 1, 100.0), a_round(EMPTY, 2, 200.0), a_round(EMPTY, 3, 400.0)]


@pytest.mark.parametrize(
    ("orders", "ratios"),
    [
        pytest.param([(1, 200.0, 0), (2, 200.0, 0), (3, 400.0, 0)], [2.0, 1.0, 1.0], id="each round by itself"),
        pytest.param([(1, 200.0, 7), (2, 400.0, 0)], [2.0], id="a round with errors is no measurement"),
        pytest.param([(4, 200.0, 0)], [], id="a round whose other half is missing"),
    ],
)
def test_ratios(orders, ratios):
    rounds = [*EMPTIES, *(a_round("pixeld order", number, rate, errors=errors) for number, rate, errors in orders)]
    assert peers_page.ratio(rounds, "pixeld order", EMPTY, 256) == ratios


@pytest.mark.parametrize(
    ("times", "said"),
    [
        pytest.param(2.0, "| met |", id="the target"),
        pytest.param(1.9, "| above the floor |", id="between floor and target"),
        pytest.param(1.6, "| **not met** |", id="below the floor"),
    ],
)
def test_the_page_says_whether_a_target_is_met(times, said):
    rounds = [*EMPTIES, *(a_round("pixeld order", each.number, each.rate * times) for each in EMPTIES)]
    page = peers_page.page(RUN, rounds)
    assert f"**{times:.2f}×** ({times:.2f}–{times:.2f}) | 2.0× (1.7×) {said} 1.00× |" in page


def test_the_page_says_what_is_left_out_of_it():
    page = peers_page.page(RUN, [*EMPTIES, a_round("pixeld order", 1, 100.0, errors=3)])
    assert "FastAPI: not installed" in page
    assert "pixeld order at 256 connections, round 1: 3 errors" in page
