"""What the fast path uses of aiohttp beyond its documentation. When this fails after a new release, look at web/fastpath.py."""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web, web_protocol
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.streams import EMPTY_PAYLOAD, EmptyStreamReader

from pixeld.web import fastpath

PACKAGE = Path(fastpath.__file__).parents[1]
# attribute: the class whose slot it is
SLOTS = {
    "_parser": BaseProtocol,
    "_loop": BaseProtocol,
    "_waiter": web.RequestHandler,
    "_request_count": web.RequestHandler,
    "_next_keepalive_close_time": web.RequestHandler,
}
METHODS = {"_process_keepalive"}
OWN = {"_conn", "_consumed", "_feed", "_parked", "_parser", "_parse", "_answer_leading"}


def private_attributes(path):
    """Names with one underscore that a file uses as attributes, or imports."""
    tree = ast.parse(path.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return {name for name in used if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize(("name", "owner"), SLOTS.items())
def test_slot_exists(name, owner):
    assert name in owner.__slots__


@pytest.mark.parametrize("name", METHODS)
def test_method_exists(name):
    assert callable(vars(web.RequestHandler)[name])


@pytest.mark.parametrize("parser", [HttpRequestParser, HttpRequestParserPy])
@pytest.mark.parametrize("name", ["feed_data", "feed_eof", "message_consumed", "pause_reading", "set_upgraded"])
def test_parser_method_exists(parser, name):
    assert callable(getattr(parser, name))


def test_the_list_above_is_complete():
    assert private_attributes(Path(fastpath.__file__)) - OWN == SLOTS.keys() - OWN | METHODS | {"_ErrInfo"}


def test_an_error_message_is_made_as_the_base_class_makes_it():
    error = web_protocol._ErrInfo(status=400, exc=ValueError(), message="m")
    assert (error.status, error.message) == (400, "m")
    assert "_ErrInfo(status=400, exc=exc, message=exc.message), EMPTY_PAYLOAD" in inspect.getsource(
        web.RequestHandler.data_received
    )
    assert isinstance(EMPTY_PAYLOAD, EmptyStreamReader) and fastpath._NO_BODY is not EMPTY_PAYLOAD


def test_no_slot_of_ours_is_one_of_the_base_class():
    theirs = {name for each in web.RequestHandler.__mro__ for name in [*getattr(each, "__slots__", ()), *vars(each)]}
    assert not theirs & set(fastpath.HotRequestHandler.__slots__)


def test_the_bound_is_aiohttps():
    assert fastpath.MAX_WAITING == web_protocol.MAX_MSG_QUEUE_SIZE


def test_timers_and_tasks_are_as_expected():
    """The timer is armed at once (since 3.14.4): an idle connection that was only ever hot is closed by it."""
    assert "self._process_keepalive" in inspect.getsource(web.RequestHandler.connection_made)
    assert "self._waiter = loop.create_future()" in inspect.getsource(web.RequestHandler.start)


@pytest.mark.parametrize(
    "path", [path for path in PACKAGE.rglob("*.py") if path.name != "fastpath.py"], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_other_file_names_private_parts_of_aiohttp(path):
    text = path.read_text()
    assert not re.search(r"from aiohttp[\w.]* import .*\b_[a-z]", text, re.IGNORECASE)
    assert not re.search(r"aiohttp\.[\w.]*\b_[a-z]", text)
    distinctive = (SLOTS.keys() | METHODS | {"_ErrInfo"}) - {"_loop", "_parser"}
    assert not private_attributes(path) & distinctive


def test_the_version_is_one_that_was_tried():
    """A new minor release is looked at before it is used (setup.cfg: ~=)."""
    assert aiohttp.__version__ == importlib.metadata.version("aiohttp")
    assert tuple(map(int, aiohttp.__version__.split(".")[:2])) == (3, 14)
    assert tuple(map(int, aiohttp.__version__.split(".")[:3])) >= (3, 14, 5)
