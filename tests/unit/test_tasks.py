"""Parts of a server: one that ends by itself is told in words, one that is stopped is not."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from pixeld.errors import PartFailed, QueueAway
from pixeld.tasks import Tasks


async def ends():
    pass


async def fails(error):
    raise error


@pytest.mark.parametrize(
    ("part", "kind", "says"),
    [
        pytest.param(lambda: fails(ValueError("s3cret")), PartFailed, r"flush, has failed with ValueError; the log says", id="a bug"),
        pytest.param(ends, PartFailed, r"flush, has ended by itself", id="an end"),
        pytest.param(lambda: fails(QueueAway("Redis is gone")), QueueAway, r"^Redis is gone$", id="an error of ours"),
    ],
)
async def test_a_part_that_ends_fails_the_server_in_words(part, kind, says, caplog):
    failed = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        Tasks(stack, failed).start("flush", part())
        with pytest.raises(kind, match=says) as error:
            await failed
    assert "s3cret" not in str(error.value)
    assert "a part has failed; the server stops" in caplog.text


async def test_a_part_that_is_stopped_has_not_failed():
    failed = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        Tasks(stack, failed).start("flush", asyncio.Event().wait())
        await asyncio.sleep(0)
    assert not failed.done()
