"""Reading a query: first value stands, forms' plus is a space, raw bytes are no error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.tracking.query import form_text, split, url_text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", {}, id="empty"),
        pytest.param("a=1&b=2", {"a": "1", "b": "2"}, id="two"),
        pytest.param("a=1&a=2", {"a": "1"}, id="the first of several"),
        pytest.param("a", {"a": ""}, id="no equals sign"),
        pytest.param("a=1=2", {"a": "1=2"}, id="equals sign in the value"),
        pytest.param("&&a=1&", {"": "", "a": "1"}, id="empty pairs"),
    ],
)
def test_split(query, expected):
    assert split(query) == expected


@pytest.mark.parametrize(
    ("raw", "form", "url"),
    [
        pytest.param("a+b", "a b", "a+b", id="plus"),
        pytest.param("a%2Bb", "a+b", "a+b", id="escaped plus"),
        pytest.param("%C3%A9", "é", "é", id="UTF-8"),
        pytest.param("é", "é", "é", id="unescaped UTF-8"),
        pytest.param("%ff", "\ufffd", "\ufffd", id="not UTF-8"),
        pytest.param("\udcff", "\ufffd", "\ufffd", id="raw byte"),
        pytest.param("%", "%", "%", id="lone percent sign"),
        pytest.param("%zz", "%zz", "%zz", id="no hexadecimal"),
    ],
)
def test_text(raw, form, url):
    assert (form_text(raw), url_text(raw)) == (form, url)


@given(st.text(max_size=50))
def test_decoding_gives_text_that_can_be_encoded(raw):
    form_text(raw).encode()
    url_text(raw).encode()


def test_strict_decoding_refuses_what_is_not_utf8():
    with pytest.raises(UnicodeDecodeError):
        form_text("%ff", "strict")
