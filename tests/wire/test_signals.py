"""What a browser says of tracking, however its headers are written, on the fast path and beside it."""

import pytest

from tests.wire.corpus import get

CLICK = "/t/acme/c/blog"


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        pytest.param(["Sec-GPC: 1"], "refused gpc", id="GPC"),
        pytest.param(["sec-gpc:1\t"], "refused gpc", id="in small letters, with other blanks"),
        pytest.param(["Sec-GPC: 0", "Sec-GPC: 1"], "refused gpc", id="said twice: a no"),
        pytest.param(["Sec-GPC: 1", "Sec-GPC: 0"], "refused gpc", id="said twice, the no first"),
        pytest.param(["Sec-GPC: 1, 1"], "refused gpc", id="said twice, as a proxy joins it"),
        pytest.param(["Sec-GPC: 0"], "human", id="another value"),
        pytest.param(["Sec-GPC: 11"], "human", id="not 1"),
        pytest.param(["Cookie: ID=OPT_OUT"], "refused opt_out", id="opted out"),
        pytest.param(["Cookie: a=b", "Cookie: ID=OPT_OUT"], "refused opt_out", id="in a second header"),
        pytest.param(["cookie: a=b", "cookie: c=d", "cookie: ID=OPT_OUT"], "refused opt_out", id="as HTTP/2 splits it"),
        pytest.param(["Cookie: a=b", "Cookie: ID=OPT_OUT2"], "human", id="another cookie in a second header"),
    ],
)
async def test_signals(start, fast_path, headers, verdict):
    world = await start(fast_path=fast_path)
    for said in headers, [], headers, []:  # on connections of their own: what one said is remembered, for itself alone
        peer = await world.peer()
        await peer.send(get(CLICK, *said))
        reply = await peer.reply()
        assert reply.status == 302
        assert (b"pxid=" in reply.raw) == (not said or verdict == "human")
    assert world.outcomes == ({("click", "human"): 4} if verdict == "human" else {("click", verdict): 2, ("click", "human"): 2})
