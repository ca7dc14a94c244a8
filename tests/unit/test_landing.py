"""Never an open redirect: what is let through is a plain URL of an allowed host, and is changed by one parameter only."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain import landing

HOSTS = frozenset({"shop.example", "m.shop.example:8443", "localhost:8000"})


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "http://shop.example/",
        "https://shop.example/a/b?x=1&y=%20#frag",
        "HTTPS://shop.example/x",
        "https://SHOP.example/x",
        "https://m.shop.example:8443/x",
        "http://localhost:8000/demo/shop/",
        "https://shop.example/" + "a" * (2048 - 21),
    ],
)
def test_allowed(url):
    assert landing.allowed(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://evil.example/", id="another host"),
        pytest.param("https://shop.example.evil.example/", id="allowed host as a prefix"),
        pytest.param("https://evilshop.example/", id="allowed host as a suffix"),
        pytest.param("https://sub.shop.example/", id="subdomain that isn't listed"),
        pytest.param("https://shop.example:444/", id="port that isn't listed"),
        pytest.param("https://m.shop.example/", id="listed with a port only"),
        pytest.param("https://shop.example@evil.example/", id="userinfo that looks like the host"),
        pytest.param("https://user:pw@shop.example/", id="userinfo before an allowed host"),
        pytest.param("https://evil.example\\@shop.example/", id="backslash"),
        pytest.param("https://shop.example\\.evil.example/", id="backslash in the host"),
        pytest.param("//shop.example/", id="no scheme"),
        pytest.param("https:/shop.example/", id="one slash"),
        pytest.param("https:shop.example/", id="no slash"),
        pytest.param("https:///shop.example/", id="three slashes"),
        pytest.param("/shop", id="relative"),
        pytest.param("javascript:alert(1)//shop.example", id="javascript"),
        pytest.param("data:text/html,shop.example", id="data"),
        pytest.param("ftp://shop.example/", id="ftp"),
        pytest.param(" https://shop.example/", id="space before"),
        pytest.param("https://shop.example/ ", id="space after"),
        pytest.param("https://shop.example/\r\nSet-Cookie: a=b", id="line break"),
        pytest.param("https://shop.example/\x00", id="NUL"),
        pytest.param("https://shop\t.example/", id="tab in the host"),
        pytest.param("https://shop.examplé/", id="not ASCII"),
        pytest.param("https://shop。example/", id="ideographic full stop"),
        pytest.param("https://shop%2eexample/", id="percent escape in the host"),
        pytest.param("https://[::1]/", id="address in brackets"),
        pytest.param("https://shop.example:99999/", id="bad port"),
        pytest.param("https://shop.example:/", id="empty port"),
        pytest.param("https://.shop.example/", id="empty label"),
        pytest.param("https:///", id="no host"),
        pytest.param("", id="empty"),
        pytest.param('https://shop.example/"><script>', id="quote and angle brackets"),
        pytest.param("https://shop.example/" + "a" * (2049 - 21), id="over 2,048 bytes"),
    ],
)
def test_refused(url):
    assert not landing.allowed(url, HOSTS)


@given(st.text(max_size=60))
def test_whatever_is_allowed_is_read_alike_by_another_parser(rest):
    url = f"https://{rest}"
    if landing.allowed(url, HOSTS):
        assert urlsplit(url).hostname in {"shop.example", "m.shop.example", "localhost"}
        assert urlsplit(url).username is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://s.example", "https://s.example?pxid=T", id="no path, no query"),
        pytest.param("https://s.example/", "https://s.example/?pxid=T", id="no query"),
        pytest.param("https://s.example/?a=1", "https://s.example/?a=1&pxid=T", id="query"),
        pytest.param("https://s.example/?", "https://s.example/?pxid=T", id="empty query"),
        pytest.param("https://s.example/?a=1&", "https://s.example/?a=1&pxid=T", id="query ends with an ampersand"),
        pytest.param("https://s.example/?a=%2f+%20#f?x", "https://s.example/?a=%2f+%20&pxid=T#f?x", id="fragment with a ?"),
        pytest.param("https://s.example/a&", "https://s.example/a&?pxid=T", id="path ends with an ampersand"),
        pytest.param("https://s.example/#", "https://s.example/?pxid=T#", id="empty fragment"),
        pytest.param("https://s.example/?pxid=old", "https://s.example/?pxid=old&pxid=T", id="parameter there already"),
    ],
)
def test_one_parameter_is_added_and_nothing_else_changes(url, expected):
    assert "T".join(landing.around(url, "pxid")) == expected
