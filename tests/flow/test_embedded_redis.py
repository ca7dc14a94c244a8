"""The embedded Valkey: whose it is, and what is said when it, or another Redis, can't be had."""

import os

import pytest

from pixeld.errors import QueueAway, Unavailable
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.redis import connect, fitness
from tests.services import free_port


async def test_another_users_socket_of_the_same_name_is_not_asked(tmp_path, monkeypatch):
    server = EmbeddedRedis(tmp_path)
    await server.start()
    try:
        assert await server._answers()
        with monkeypatch.context() as other:
            other.setattr(os, "getuid", lambda: 1 + tmp_path.stat().st_uid)
            assert not await server._answers()
    finally:
        await server.stop()


def test_a_socket_whose_path_would_be_too_long_in_bytes_is_elsewhere(tmp_path):
    room = 100 - len(str(tmp_path.resolve() / "d" / "redis.sock"))
    if room < 1:
        pytest.skip("the folder for temporary files has too long a name")
    assert len(os.fsencode(EmbeddedRedis(tmp_path / ("d" + "é" * room)).url.removeprefix("unix://"))) <= 100


async def test_a_place_where_none_can_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"the embedded Valkey cannot be started in .*file/redis: .*Not a directory"):
        await EmbeddedRedis(tmp_path / "file" / "redis").start()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(lambda log: log.write_text("of an earlier one\n"), r"redis\.log ends: .*appendonlydir", id="told in its log"),
        pytest.param(lambda log: log.symlink_to("/dev/null"), r"it wrote nothing to its log .*redis\.log; let pixeld's user", id="nothing told"),
        pytest.param(lambda log: log.mkdir(), r"redis\.log cannot be read: Is a directory; let pixeld's user", id="an unreadable log"),
    ],
)
async def test_one_that_ends_at_its_start_is_told(tmp_path, make, told):
    (tmp_path / "appendonlydir").write_text("")  # as unusable as another user's, to root too
    make(tmp_path / "redis.log")
    with pytest.raises(Unavailable, match=told):
        await EmbeddedRedis(tmp_path).start()


@pytest.mark.parametrize("way", ["tcp", "unix"])
@pytest.mark.parametrize("given", ["", ":a-wrong-one@", "nobody:right@"], ids=["none", "wrong", "of a user that is not there"])
async def test_a_password_that_redis_does_not_take_is_told_as_that(tmp_path, given, way):
    server, port = EmbeddedRedis(tmp_path), free_port()
    await server.start()
    url = f"redis://{given}127.0.0.1:{port}" if way == "tcp" else server.url.replace("unix://", f"unix://{given}")
    owner, asked = connect(server.url, 5.0), connect(url, 5.0)
    try:
        await owner.config_set("port", port)
        await owner.config_set("requirepass", "right")
        with pytest.raises(QueueAway, match="failed: it wants another user or password than redis_url has$"):
            await fitness(asked)
    finally:
        await owner.config_set("requirepass", "")
        await owner.aclose()
        await asked.aclose()
        await server.stop()
