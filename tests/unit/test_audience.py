"""What is derived from a visitor, and what can't be derived back."""

import pytest

from pixeld.tracking.audience import DAY_MS, Agent, Visitors, agent, language

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
    "Mobile/15E148 Safari/604.1"
)
TABLET = "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(CHROME, Agent("desktop", "Chrome", "Windows", False), id="desktop"),
        pytest.param(IPHONE, Agent("mobile", "Mobile Safari", "iOS", False), id="phone"),
        pytest.param(TABLET, Agent("tablet", "Chrome", "Android", False), id="Android without Mobile is a tablet"),
        pytest.param("Mozilla/5.0 (compatible; Googlebot/2.1)", Agent("bot", "", "", True), id="crawler"),
        pytest.param("curl/8.5.0", Agent("bot", "", "", True), id="script"),
        pytest.param("", Agent("bot", "", "", True), id="no user agent"),
    ],
)
def test_agent(text, expected):
    assert agent(text) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("de-DE,de;q=0.9,en;q=0.8", "de", id="first of several"),
        pytest.param("EN", "en", id="lower case"),
        pytest.param("fil", "fil", id="three letters"),
        pytest.param("*", "", id="any"),
        pytest.param("", "", id="none"),
        pytest.param("x" * 10_000, "", id="huge"),
        pytest.param("é", "", id="not ASCII"),
        pytest.param(";q=1", "", id="only a weight"),
    ],
)
def test_language(header, expected):
    assert language(header) == expected


def visitors():
    salts = iter(range(1, 100))
    return Visitors(lambda n: next(salts).to_bytes(n))


def number(v, client="shop", address="192.0.2.7", user_agent=CHROME, now_ms=10 * DAY_MS):
    return v.number(client, address, user_agent, now_ms)


def test_a_visitor_has_one_number_a_day_and_client():
    v = visitors()
    assert number(v) == number(v) == number(v, now_ms=11 * DAY_MS - 1)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"client": "shop2"}, id="not joinable across clients"),
        pytest.param({"now_ms": 11 * DAY_MS}, id="not joinable across days"),
        pytest.param({"address": "192.0.2.8"}, id="another address"),
        pytest.param({"user_agent": IPHONE}, id="another browser"),
    ],
)
def test_numbers_differ(other):
    v = visitors()
    assert number(v) != number(v, **other)


def test_another_process_has_another_salt():
    assert number(Visitors(lambda n: b"a" * n)) != number(Visitors(lambda n: b"b" * n))


def test_raw_bytes_in_a_header_are_no_error():
    assert number(visitors(), user_agent="\udcff") >= 0


def processes():
    """One that makes salts, and one that is told them."""
    salts = iter(range(1, 100))
    return Visitors(lambda n: next(salts).to_bytes(n)), Visitors(lambda n: b"own".rjust(n))


def test_processes_that_share_salts_share_numbers_over_midnight():
    office, worker = processes()
    worker.take(office.ahead(10 * DAY_MS))
    late = 11 * DAY_MS + 5000  # the office has not told anybody of this day, but told of it the day before
    assert number(worker) == number(office)
    assert number(worker, now_ms=late) == number(office, now_ms=late) != number(office)


def test_the_salts_of_a_day_stay_the_same_however_often_they_are_told():
    office, _ = processes()
    first, second = dict(office.ahead(10 * DAY_MS)), dict(office.ahead(11 * DAY_MS - 1))
    assert first == second and list(first) == [10, 11]


def test_salts_of_earlier_days_are_forgotten():
    office, worker = processes()
    worker.take(office.ahead(10 * DAY_MS))
    before = number(office), number(worker)
    worker.take(office.ahead(11 * DAY_MS))
    assert before[0] == before[1]
    assert number(office) != before[0] and number(worker) != before[1]


def test_a_process_that_was_told_nothing_of_a_day_has_a_salt_of_its_own():
    office, worker = processes()
    worker.take(office.ahead(10 * DAY_MS))
    assert number(worker, now_ms=20 * DAY_MS) != number(office, now_ms=20 * DAY_MS)
    assert number(worker, now_ms=20 * DAY_MS) == number(worker, now_ms=20 * DAY_MS)


def test_the_upper_bits_of_a_number_are_its_salts():
    v, again = visitors(), visitors()
    numbers = [number(v, address=f"192.0.2.{n}") for n in range(50)]
    assert len(set(numbers)) == 50 and len({n >> 48 for n in numbers}) == 1
    assert {n >> 48 for n in numbers} == {number(again) >> 48}, "of one salt, in whichever process"
    assert number(v, now_ms=11 * DAY_MS) >> 48 != numbers[0] >> 48
