"""Passwords: what one costs, that nobody else waits for it, and which ones are refused."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher, extract_parameters

from pixeld.accounts import passwords
from pixeld.accounts.limits import network
from pixeld.accounts.passwords import Passwords
from pixeld.errors import Unavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def made():
    found = Passwords(CHEAP)
    yield found
    found.close()


class Slow:
    """A hasher that holds every hash until a test lets it go, and counts."""

    def __init__(self):
        self.gate, self.running, self.most, self.calls = threading.Event(), 0, 0, 0
        self._lock = threading.Lock()
        self.gate.set()

    def hash(self, password):
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.gate.wait(60)
        with self._lock:
            self.running -= 1
        return CHEAP.hash(password)

    def verify(self, stored, password):
        self.hash(password)
        return CHEAP.verify(stored, password)


async def test_it_costs_what_rfc_9106_says():
    made = Passwords()
    found = extract_parameters(await made.hash("correct horse battery"))
    assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 65_536, 3, 4)
    made.close()


async def test_a_password_matches_itself_alone(made):
    stored = await made.hash("correct horse battery")
    assert await made.matches("correct horse battery", stored)
    assert not await made.matches("correct horse batterx", stored)
    assert not await made.matches("correct horse battery", "no hash at all")
    assert stored != await made.hash("correct horse battery")


async def test_nobodys_password_costs_a_hash_and_is_wrong():
    slow = Slow()
    made = Passwords(slow)
    before = slow.calls
    assert not await made.matches("anything", None)
    assert slow.calls == before + 1
    made.close()


async def test_two_are_hashed_at_a_time_and_the_loop_goes_on():
    slow = Slow()
    made = Passwords(slow)
    slow.gate.clear()
    hashing = [asyncio.create_task(made.hash("correct horse battery")) for _ in range(6)]
    while slow.running < 2:
        await asyncio.sleep(0)
    hashing[0].cancel()  # whoever leaves makes no room: its thread still works
    for _ in range(100):
        await asyncio.sleep(0)
    assert slow.running == 2
    slow.gate.set()
    await asyncio.gather(*hashing, return_exceptions=True)
    assert slow.most == 2
    made.close()


async def test_when_fifty_wait_the_next_is_told_to_come_again():
    slow = Slow()
    made = Passwords(slow)
    slow.gate.clear()
    waiting = [asyncio.create_task(made.hash("x")) for _ in range(50)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="try again in a moment"):
        await made.hash("x")
    slow.gate.set()
    await asyncio.gather(*waiting)
    await made.hash("x")
    made.close()


async def test_a_hash_of_another_cost_is_outdated(made):
    assert made.outdated(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("x"))
    assert not made.outdated(await made.hash("x"))


@pytest.mark.parametrize(
    ("password", "wrong"),
    [
        pytest.param("x1y2z3" * 2, False, id="12 characters"),
        pytest.param("x1y2z3x1y2z", True, id="11 characters"),
        pytest.param("abcde" * 40, False, id="200 characters"),
        pytest.param("abcde" * 40 + "f", True, id="201 characters"),
        pytest.param("abcdabcdabcd", True, id="4 different characters"),
        pytest.param("пароль-из-слов", False, id="another alphabet"),
        pytest.param("Anna@Example.com", True, id="the e-mail address"),
        pytest.param("anna@example.com!", False, id="and more"),
    ],
)
def test_a_new_password_is_hard_to_guess(password, wrong):
    assert (passwords.problem(password, "anna@example.com", "") is not None) is wrong


@pytest.mark.parametrize(
    ("address", "stands_for"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
    ],
    ids=["IPv4", "IPv6 by its /64", "IPv4 within IPv6", "no address"],
)
def test_what_attempts_are_counted_by(address, stands_for):
    assert network(address) == stands_for
