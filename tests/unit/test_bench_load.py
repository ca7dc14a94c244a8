"""The load generator's decisions: when, what, how long, and whether the books are equal."""

import argparse
import random
from itertools import islice, pairwise
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.books import Books, Ledger, differences
from bench.histogram import Histogram
from bench.openloop import Outcome
from bench.soak import Sample, fit, judge
from bench.summary import lateness
from bench.visitors import CLICK, IMPRESSION, KINDS, ORDER, RELOAD, Requests, Visitor, amount_minor, kinds, parse_mix, schedule
from bench.wire import Heads
from pixeld.tracking import audience
from pixeld.tracking.replies import Replies


@pytest.mark.parametrize(
    ("rate", "duration_s", "due"),
    [
        pytest.param(4, 1, [0, 0.25, 0.5, 0.75], id="evenly, from the start"),
        pytest.param(0.5, 4, [0, 2], id="less than one a second"),
        pytest.param(1, 0.1, [], id="none fits"),
    ],
)
def test_schedule(rate, duration_s, due):
    assert list(schedule(rate, duration_s)) == due


def test_schedule_of_independent_visitors():
    due = list(schedule(1000, 20, random.Random(1)))
    assert due == sorted(due) and due[-1] < 20
    assert len(due) == pytest.approx(20_000, rel=0.03)
    gaps = [b - a for a, b in pairwise(due)]
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(
        0.368, abs=0.02
    )  # 1/e: nothing remembers the last one


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("click=1,impression=5,order=2", (1, 5, 2, 0)),
        ("order=2, reload=0.5", (0, 0, 2, 0.5)),
        ("click=1,order=0", (1, 0, 0, 0)),
    ],
)
def test_mix(text, mix):
    assert parse_mix(text) == mix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("clik=1", "'clik' is none of click, impression, order, reload", id="misspelt"),
        pytest.param("", "is none of", id="empty"),
        pytest.param("click", "like click=2", id="no number"),
        pytest.param("click=many", "not 'many'", id="a word"),
        pytest.param("click=-1", "from 0 up", id="negative"),
        pytest.param("click=nan", "from 0 up", id="not a number"),
        pytest.param("click=inf", "from 0 up", id="infinite"),
        pytest.param("click=0", "above 0", id="nothing at all"),
        pytest.param("click=1,reload=1", "reload repeats an order", id="reload without orders"),
    ],
)
def test_mix_refused(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        parse_mix(text)


def test_kinds_come_as_often_as_the_mix_says():
    drawn = list(islice(kinds(parse_mix("click=1,impression=5,order=2"), random.Random(1)), 8_000))
    assert [drawn.count(kind) for kind in (CLICK, IMPRESSION, ORDER)] == pytest.approx([1000, 5000, 2000], rel=0.1)
    assert RELOAD not in drawn


@pytest.mark.parametrize(
    ("ms", "percent", "found"),
    [
        pytest.param(range(1, 1001), 50, 500, id="median"),
        pytest.param(range(1, 1001), 99, 990, id="p99"),
        pytest.param(range(1, 1001), 99.9, 999, id="p99.9"),
        pytest.param(range(1, 1001), 100, 1000, id="the most is exact"),
        pytest.param([7] * 99 + [900], 99, 7, id="one of a hundred is beyond p99"),
        pytest.param([7] * 98 + [900] * 2, 99, 900, id="two of a hundred are not"),
        pytest.param([0.0001], 50, 0.0001, id="below a microsecond"),
        pytest.param([10_000_000], 50, 10_000_000, id="above the last bucket"),
        pytest.param([], 99, 0, id="nothing measured"),
    ],
)
def test_percentiles_are_at_most_one_per_cent_too_high(ms, percent, found):
    histogram = Histogram()
    for each in ms:
        histogram.add(each / 1000)
    got = histogram.percentile(percent) * 1000
    assert (found <= got * (1 + 1e-9) and got <= found * 1.0101 + 1e-9) or (found > 3_000_000 and got > 3_000_000)


def test_a_histogram_is_a_line_for_each_power_of_two():
    histogram = Histogram()
    for ms in (0.9, 0.95, 1.9, 7.0):
        histogram.add(ms / 1000)
    lines = [line.split()[1:5:2] for line in histogram.text().splitlines()]
    assert lines == [["1.024", "2"], ["2.048", "1"], ["4.096", "0"], ["8.192", "1"]]


def test_the_difference_of_two_histograms():
    histogram = Histogram()
    histogram.add(0.001)
    before = list(histogram.counts)
    histogram.add(0.5)
    since = Histogram.of([b - a for a, b in zip(before, histogram.counts, strict=True)])
    assert since.count == 1 and since.percentile(99) == pytest.approx(0.5, rel=0.011)


def test_every_browser_is_a_human_and_thirty_in_a_row_differ():
    visitors = [Visitor.number(n, "t.example", "pxref=x") for n in range(30)]
    assert len({v.image_headers for v in visitors}) == 30
    for visitor in visitors:
        for head in (visitor.page_headers, visitor.image_headers):
            lines = head.decode().split("\r\n")
            assert lines[0] == " HTTP/1.1" and lines[-2:] == ["", ""] and "Cookie: pxref=x" in lines
            assert not audience.agent(next(line for line in lines if line.startswith("User-Agent")).partition(": ")[2]).bot


def test_requests_carry_the_run_and_an_amount_of_their_own():
    requests, visitor = Requests("shop", "blog", "r1"), Visitor.number(0, "t.example")
    assert requests.click(visitor).startswith(b"GET /t/shop/c/blog?s1=r1 HTTP/1.1\r\n")
    assert requests.impression(visitor).startswith(b"GET /t/shop/i/blog.gif?s1=r1 HTTP/1.1\r\n")
    for number in (0, 1, 29_999, 123_456):
        target = requests.order(visitor, number).split()[1].decode()
        query = parse_qs(urlsplit(target).query)
        assert urlsplit(target).path == "/t/shop/o.gif"
        assert query["order"] == [f"r1-{number}"] and query["currency"] == ["EUR"]
        assert round(float(query["amount"][0]) * 100) == amount_minor(number)


REPLIES = Replies('CP="NOI"')


@pytest.mark.parametrize(
    ("head", "found"),
    [
        pytest.param(REPLIES.ok.head[:-2], (200, "ok", 43, "", False), id="a stored pixel"),
        pytest.param(REPLIES.dropped["bad_amount"].head[:-2], (200, "bad_amount", 43, "", False), id="a dropped one"),
        pytest.param(REPLIES.unavailable["not_durable"].head[:-2], (503, "not_durable", 43, "", False), id="a 503"),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nX-Pixeld: ok\r\nSet-Cookie: pxref=a.b; Path=/\r\nContent-Length: 0",
            (302, "ok", 0, "pxref=a.b", False),
            id="a click",
        ),
        pytest.param(
            b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 150\r\nconnection: close",
            (502, "", 150, "", True),
            id="a proxy's own",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", None, id="no length"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2", None, id="not HTTP"),
    ],
)
def test_heads(head, found):
    heads = Heads()
    for _ in ("read", "remembered"):
        assert heads.read(head) == found


FULL = Books(clicks=10, impressions=50, orders=20, revenue_minor=2000)


@pytest.mark.parametrize(
    ("open", "stored", "wrong"),
    [
        pytest.param(Books(), FULL, [], id="equal"),
        pytest.param(
            Books(), Books(9, 50, 20, 2000), ["clicks: 10 answered, 9 stored (-1)"], id="an answered click is missing"
        ),
        pytest.param(Books(), Books(10, 50, 21, 2000), ["orders: 20 answered, 21 stored (+1)"], id="an order counted twice"),
        pytest.param(
            Books(), Books(10, 50, 20, 1999), ["revenue in cents: 2,000 answered, 1,999 stored (-1)"], id="a cent is missing"
        ),
        pytest.param(Books(1, 2, 0, 0), Books(11, 52, 20, 2000), [], id="what nobody was told is stored"),
        pytest.param(Books(1, 2, 0, 0), FULL, [], id="what nobody was told is not stored"),
        pytest.param(
            Books(1, 0, 0, 0), Books(12, 50, 20, 2000), ["clicks: 10 to 11 answered, 12 stored (+1)"], id="more than was sent"
        ),
        pytest.param(
            Books(1, 0, 0, 0), Books(9, 50, 20, 2000), ["clicks: 10 to 11 answered, 9 stored (-1)"], id="less all the same"
        ),
    ],
)
def test_books(open, stored, wrong):
    assert differences(FULL, open, stored) == wrong


@pytest.mark.parametrize(
    ("said", "answered", "open"),
    [
        pytest.param(["ok"], 1, 0, id="answered"),
        pytest.param(["ok", "ok", "ok"], 1, 0, id="reloaded, and one order"),
        pytest.param([""], 0, 1, id="no reply: it may be stored"),
        pytest.param(["not_durable"], 0, 1, id="gave up waiting: it may be stored"),
        pytest.param(["bad_amount"], 0, 0, id="refused: it is not stored"),
        pytest.param(["buffer_full"], 0, 0, id="no room: it is not stored"),
        pytest.param(["", "ok"], 1, 0, id="no reply at first, then answered"),
        pytest.param(["ok", ""], 1, 0, id="answered, then no reply"),
        pytest.param(["buffer_full", ""], 0, 1, id="no room, then no reply"),
        pytest.param(["", "buffer_full"], 0, 1, id="no reply, then no room"),
    ],
)
def test_ledger_of_an_order(said, answered, open):
    ledger = Ledger()
    ledger.new_order()
    number = ledger.new_order()
    for each in said:
        ledger.told(ORDER, number, each)
    assert ledger.answered() == Books(0, 0, answered, answered * amount_minor(number))
    assert ledger.open() == Books(0, 0, open, open * amount_minor(number))


def test_ledger_of_traffic():
    ledger = Ledger()
    for kind, said in ((CLICK, "ok"), (CLICK, "not_durable"), (CLICK, "rate_limited"), (IMPRESSION, "ok"), (IMPRESSION, "")):
        ledger.told(kind, 0, said)
    assert (ledger.answered(), ledger.open()) == (Books(1, 1), Books(1, 1))


@pytest.mark.parametrize(("late_ms", "said"), [(4, False), (20, True)], ids=["on time", "late itself"])
def test_a_generator_that_is_late_says_so(late_ms, said):
    outcome = Outcome()
    for _ in range(100):
        outcome.lag.add(late_ms / 1000)
    assert ("late itself" in lateness(outcome)) == said


def test_fit():
    assert fit([0, 1, 2, 3], [5, 7, 9, 11]) == (2, 0)
    slope, error = fit([0, 1, 2, 3], [1, -1, -1, 1])
    assert slope == 0 and error > 0.5


@pytest.mark.parametrize(
    ("minutes", "mib_an_hour", "steady", "said"),
    [
        pytest.param(60, 0, True, "is steady", id="flat"),
        pytest.param(60, 2, True, "is steady", id="less than 2 % of it"),
        pytest.param(60, 40, False, "grows", id="a leak"),
        pytest.param(60, -40, True, "is steady", id="shrinks"),
        pytest.param(5, 4_000, True, "No verdict", id="too short to tell"),
        pytest.param(0.2, 4_000, True, "too few samples", id="hardly begun"),
    ],
)
def test_verdict_on_memory(minutes, mib_an_hour, steady, said):
    noise = random.Random(1)
    samples = [
        Sample(s, 300 + mib_an_hour * s / 3600 + noise.uniform(-2, 2), 10, 100, 50, 1, 0)
        for s in range(5, int(minutes * 60) + 1, 5)
    ]
    text, well = judge(samples)
    assert well == steady and said in text


def test_kinds_have_names():
    assert [KINDS[kind] for kind in (CLICK, IMPRESSION, ORDER, RELOAD)] == ["click", "impression", "order", "reload"]
