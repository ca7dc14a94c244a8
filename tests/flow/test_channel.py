"""The channel between an office and a worker: questions, statements, and the end of either."""

import asyncio
import socket
from contextlib import asynccontextmanager
from math import isnan, nan

import pytest

from pixeld.errors import BadInput, Unavailable
from pixeld.parts.channel import Channel


async def nothing(what, given):
    return None


@asynccontextmanager
async def pair(answer=nothing):
    """Both ends, what the second one was told, and the tasks that run them."""
    ours, theirs = socket.socketpair()
    told = []
    one = await Channel.over(ours, nothing, lambda *_: None)
    other = await Channel.over(theirs, answer, lambda what, given: told.append((what, given)))
    tasks = [asyncio.create_task(end.run()) for end in (one, other)]
    yield one, other, told, tasks
    await one.drained()
    await asyncio.gather(*tasks)


async def test_answers_find_their_questions_whichever_comes_first():
    slow = asyncio.Event()

    async def answer(what, given):
        if what == "slow":
            await slow.wait()
        return {what: given}

    async with pair(answer) as (one, *_):
        first = asyncio.create_task(one.ask("slow", n=1))
        assert await one.ask("quick", n=2) == {"quick": {"n": 2}}
        slow.set()
        assert await first == {"slow": {"n": 1}}


async def test_numbers_that_are_not_known_go_through():
    async def answer(what, given):
        return nan

    async with pair(answer) as (one, *_):
        assert isnan(await one.ask("unknown"))


async def test_an_error_of_ours_is_told_in_its_words():
    async def answer(what, given):
        raise BadInput("it is starting")

    async with pair(answer) as (one, *_):
        with pytest.raises(Unavailable, match="it is starting"):
            await one.ask("look")


async def test_what_is_told_before_the_end_is_heard_in_order():
    async with pair() as (one, _, told, tasks):
        for n in range(100):
            one.tell("count", n=n)
        await one.drained()
        await asyncio.gather(*tasks)
        assert told == [("count", {"n": n}) for n in range(100)]


async def test_the_end_of_one_is_the_end_of_the_other_and_of_every_question():
    heard = asyncio.Event()

    async def answer(what, given):
        heard.set()
        await asyncio.Event().wait()

    async with pair(answer) as (one, other, _, tasks):
        asked = asyncio.create_task(one.ask("for ever"))
        await heard.wait()
        await other.drained()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        for question in (asked, one.ask("anybody?")):
            with pytest.raises(Unavailable):
                await question
        one.tell("nobody hears this")


@pytest.mark.parametrize("sent", [b"rubbish\n", b"\xff\n", b"x" * (2 << 20)], ids=["no JSON", "no text", "no end"])
async def test_what_is_no_message_ends_the_channel_and_nothing_else(sent, caplog):
    async with pair() as (one, other, _, tasks):
        one._writer.write(sent)
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        with pytest.raises(Unavailable):
            await other.ask("anybody?")
    assert "the channel to another process is given up" in caplog.text


async def test_who_no_longer_waits_for_an_answer_disturbs_nobody():
    late = asyncio.Event()

    async def answer(what, given):
        if what == "late":
            await late.wait()
        return what

    async with pair(answer) as (one, *_):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await one.ask("late")
        late.set()
        assert await one.ask("next") == "next"


async def give_up(channel, what, times):
    """Ask so often, and wait for no answer; how many questions were refused at once."""
    refused = 0
    for _ in range(times):
        try:
            async with asyncio.timeout(0):
                await channel.ask(what)
        except TimeoutError:
            continue
        except Unavailable:
            refused += 1
    return refused


async def test_a_silent_one_is_asked_no_more_than_it_may_owe_and_again_when_it_has_answered():
    heard, speaks = [], asyncio.Event()

    async def answer(what, given):
        heard.append(what)
        await speaks.wait()
        return what

    async with pair(answer) as (one, *_):
        assert await give_up(one, "look", 100) == 92
        asked = asyncio.create_task(one.ask("ship"))  # whoever owes the one may be asked the other
        while "ship" not in heard:
            await asyncio.sleep(0)
        assert heard == ["look"] * 8 + ["ship"]
        speaks.set()
        assert await asked == "ship"
        assert await one.ask("look") == "look"
