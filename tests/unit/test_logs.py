"""Logs: one JSON object a line, and nothing in it that a visitor sent."""

import io
import json
import logging
from contextlib import redirect_stderr

import pytest

from pixeld import logs

VISITOR = "203.0.113.7"


class Lines:
    """Log lines of this process, as objects."""

    def __init__(self):
        self._stream = io.StringIO()

    def configure(self, level):
        with redirect_stderr(self._stream):
            logs.configure(level)

    def __call__(self):
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def lines():
    found = Lines()
    found.configure("info")
    yield found
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler.formatter, logs.JsonFormatter):
            root.removeHandler(handler)


def test_a_line_is_one_object(lines):
    logging.getLogger("pixeld.app").info("started", extra={"node": "a1", "epoch": 7})
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "pixeld.app", "event": "started", "node": "a1", "epoch": 7}


def test_a_line_break_stays_inside_its_line(lines):
    logging.getLogger("pixeld.app").info("two\nlines", extra={"reason": "a\nb"})
    assert [line["event"] for line in lines()] == ["two\nlines"]


def test_what_is_no_json_is_told_as_text(lines):
    logging.getLogger("pixeld.app").info("started", extra={"path": pytest})
    assert "module 'pytest'" in lines()[0]["path"]


def test_an_exception_is_told_by_type_and_place_not_by_its_message(lines):
    def reads_a_query():
        raise ValueError(f"bad amount in ?order=4711 from {VISITOR}")

    try:
        reads_a_query()
    except ValueError:
        logging.getLogger("pixeld.web").exception("a handler failed")
    (line,) = lines()
    assert line["exception"] == "ValueError"
    assert line["where"][-1].startswith("test_logs.py:")
    assert line["where"][-1].endswith(" reads_a_query")
    assert VISITOR not in json.dumps(line)
    assert "4711" not in json.dumps(line)


def test_an_exception_s_cause_is_not_told_either(lines):
    try:
        try:
            raise ValueError(VISITOR)
        except ValueError as error:
            raise RuntimeError("told") from error
    except RuntimeError:
        logging.getLogger("pixeld.web").exception("a handler failed")
    (line,) = lines()
    assert VISITOR not in json.dumps(line)


def test_a_library_s_arguments_are_not_formatted(lines):
    logging.getLogger("aiohttp.server").error("Error handling request from %s", VISITOR)
    (line,) = lines()
    assert line["event"] == "Error handling request from %s"
    assert VISITOR not in json.dumps(line)


def test_aiohttp_s_own_way_to_log_an_error_tells_nothing_of_the_peer(lines):
    try:
        raise RuntimeError(f"/t/shop/o.gif?order=4711 from {VISITOR}")
    except RuntimeError as error:
        logging.getLogger("aiohttp.server").error("Error handling request from %s", VISITOR, exc_info=error)
    (line,) = lines()
    assert VISITOR not in json.dumps(line)
    assert "4711" not in json.dumps(line)


def test_pixeld_s_own_arguments_are(lines):
    logging.getLogger("pixeld.ingest").warning("%d chunks wait", 3)
    assert lines()[0]["event"] == "3 chunks wait"


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_what_is_asked_for(lines, level, shown):
    lines.configure(level)
    logger = logging.getLogger("pixeld.app")
    for name in ("debug", "info", "warning", "error"):
        logger.log(logging.getLevelNamesMapping()[name.upper()], name)
    assert len(lines()) == shown


def test_asyncio_s_debug_chatter_is_left_out(lines):
    lines.configure("debug")
    logging.getLogger("asyncio").debug("Using selector: EpollSelector")
    assert lines() == []
