"""Token buckets by address: so many at once, so many a second, and never more memory than stated."""

import sys

import pytest

from pixeld.web import rate
from pixeld.web.rate import Limiter


class Seconds:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


def taken(limiter, address, n):
    """How many of `n` are allowed."""
    return sum(limiter.allows(address) for _ in range(n))


@pytest.mark.parametrize("burst", [1, 2, 100, 12_345])
@pytest.mark.parametrize("per_s", [0.001, 0.3, 7, 1000])
def test_a_burst_is_as_large_as_stated(per_s, burst, seconds):
    assert taken(Limiter(per_s, burst, seconds), "192.0.2.1", burst + 5) == burst


@pytest.mark.parametrize(("after_s", "more"), [(0.05, 0), (0.1, 1), (0.55, 5), (1, 10), (1.5, 10), (3600, 10)])
def test_tokens_come_back_at_the_rate_up_to_the_burst(after_s, more, seconds):
    limiter = Limiter(10, 10, seconds)
    assert taken(limiter, "192.0.2.1", 20) == 10
    seconds.now += after_s
    assert taken(limiter, "192.0.2.1", 20) == more


def test_what_is_refused_costs_no_token(seconds):
    """A peer that never stops gets its rate, not nothing."""
    limiter, n = Limiter(1, 1, seconds), 0
    for _ in range(1000):
        seconds.now += 0.01
        n += limiter.allows("192.0.2.1")
    assert n == 10


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", True, id="an address"),
        pytest.param("192.0.2.1", "192.0.2.2", False, id="its neighbour"),
        pytest.param("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True, id="one /64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", False, id="the next /64"),
        pytest.param("::1", "::2", True, id="the lowest /64"),
    ],
)
def test_whose_bucket_it_is(one, other, same, seconds):
    limiter = Limiter(1, 1, seconds)
    assert limiter.allows(one)
    assert limiter.allows(other) is not same


def test_nobodys_address_is_not_limited(seconds):
    limiter = Limiter(1, 1, seconds)
    assert taken(limiter, "", 100) == 100
    assert len(limiter) == 0


def test_memory_is_bounded_and_the_emptiest_buckets_are_kept(seconds):
    limiter = Limiter(1, 100, seconds)
    assert taken(limiter, "192.0.2.1", 101) == 100
    for n in range(rate.MAX_ADDRESSES * 5 // 4):
        limiter.allows(f"2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::1")
        assert len(limiter) <= rate.MAX_ADDRESSES
    assert not limiter.allows("192.0.2.1")
    assert sys.getsizeof(limiter._full_at) + rate.MAX_ADDRESSES * 120 < 16 << 20


def test_full_buckets_are_forgotten(seconds):
    limiter = Limiter(1, 100, seconds)
    for n in range(rate.MAX_ADDRESSES):
        limiter.allows(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    seconds.now += 10
    limiter.allows("192.0.2.1")
    assert len(limiter) == 1
