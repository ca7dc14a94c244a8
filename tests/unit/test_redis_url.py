"""The URL of a Redis, and of one behind sentinels: what it may say, and what its errors tell."""

import pytest

from pixeld import checkup
from pixeld.errors import SettingsError
from pixeld.settings import Settings
from pixeld.storage.redis import connect
from pixeld.storage.sentinel import Address

TWO = "redis+sentinel://one:1,two/main"


@pytest.mark.parametrize(
    ("url", "field", "value"),
    [
        pytest.param(TWO, "sentinels", (("one", 1), ("two", 26379)), id="several hosts, with a default port"),
        pytest.param("redis+sentinel://[::1]:7,[::2]/main", "sentinels", (("::1", 7), ("::2", 26379)), id="IPv6"),
        pytest.param(TWO, "primary", "main", id="the primary's name"),
        pytest.param(TWO, "db", 0, id="database 0 by default"),
        pytest.param(TWO + "/3", "db", 3, id="a database"),
        pytest.param("redis+sentinel://u%40:p%2F:@one/main", "user", "u@", id="a user"),
        pytest.param("redis+sentinel://u%40:p%2F:@one/main", "password", "p/:", id="a password"),
        pytest.param("redis+sentinel://:p@one/main", "user", None, id="a password alone"),
        pytest.param("redis+sentinel://:p@one/main", "sentinel_password", None, id="the sentinels' password is another"),
        pytest.param(TWO + "?sentinel_user=s&sentinel_password=q%26", "sentinel_password", "q&", id="the sentinels' password"),
        pytest.param(TWO, "secure", False, id="no TLS"),
        pytest.param("rediss+sentinel://one/main", "secure", True, id="TLS"),
        pytest.param("rediss+sentinel://one/main", "sentinel_secure", True, id="TLS to the sentinels too"),
        pytest.param("rediss+sentinel://one/main?sentinel_tls=0", "sentinel_secure", False, id="TLS not to the sentinels"),
    ],
)
def test_what_a_url_says(url, field, value):
    assert getattr(Address.parse(url), field) == value


LIKE = "the Sentinel URL must look like redis+sentinel://host:26379,host2:26379/name-of-the-primary/0"
HOSTS = "the Sentinel URL must name the sentinels: host:26379,host2:26379"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://one", LIKE),
        ("redis+sentinel://one/main/0/1", LIKE),
        ("redis://one/main", LIKE),
        ("redis+sentinel://one/main/first", "the Sentinel URL must end with the number of a database, or with the primary's name"),
        ("redis+sentinel:///main", HOSTS),
        ("redis+sentinel://one,/main", HOSTS),
        ("redis+sentinel://one:port/main", HOSTS),
        ("redis+sentinel://:s3cret@[one/main", "the Sentinel URL is no URL; special characters must be written as %40 and the like"),
        (TWO + "?sentinel_pasword=s3cret", "the Sentinel URL has an unknown option 'sentinel_pasword'; did you mean 'sentinel_password'?"),
        (TWO + "?verify=no", "the Sentinel URL's option verify must be 0 or 1"),
        (TWO + "?sentinel_tls", "the Sentinel URL's option sentinel_tls must be 0 or 1"),
    ],
)
def test_what_is_refused_and_how(url, says):
    with pytest.raises(SettingsError) as error:
        Address.parse(url)
    assert str(error.value) == says


def test_an_address_shows_no_password():
    shown = repr(Address.parse("redis+sentinel://:s3cret@one/main?sentinel_password=hidden"))
    assert "s3cret" not in shown and "hidden" not in shown


async def test_what_the_url_says_reaches_the_connections():
    client = connect("rediss+sentinel://u:p@one/main/3?sentinel_password=q&verify=0&ca_certs=ca.pem&sentinel_tls=0", 1.5)
    options = client.connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("u", "p", 3)
    assert (options["ssl_cert_reqs"], options["ssl_ca_certs"], options["ssl_check_hostname"]) == ("none", "ca.pem", False)
    assert "SSL" in client.connection_pool.connection_class.__name__
    (sentinel,) = client.connection_pool.sentinel_manager.sentinels
    asked = sentinel.connection_pool.connection_kwargs
    assert (asked["host"], asked["port"], asked["username"], asked["password"]) == ("one", 26379, None, "q")
    assert "ssl_ca_certs" not in asked
    for each in (options, asked):
        assert each["socket_timeout"] == each["socket_connect_timeout"] == 1.5
        assert each["retry"].get_retries() == 0
    await client.aclose()


async def test_check_says_what_is_wrong_with_the_url():
    found = await checkup._redis(Settings(redis_url="redis+sentinel://:s3cret@one"))
    assert (found.ok, found.detail) == (False, LIKE)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis://:s3cret@one:port", id="no port"),
        pytest.param("redis://:s3cret/word@one", id="a slash in the password"),
        pytest.param("redis://:s3cret@one/first", id="no database"),
        pytest.param("rediss://:s3cret@one/0?ssl_cert_reqs=maybe", id="no value of an option"),
        pytest.param("redis://:s3cret@one/0?verify=1", id="no option"),
        pytest.param("unix://:s3cret@/run/redis.sock?db=first", id="no database behind a socket"),
    ],
)
async def test_a_plain_url_that_cannot_be_used_is_refused_without_repeating_it(url):
    with pytest.raises(SettingsError, match="redis_url cannot be used: it must look like") as error:
        connect(url, 1.0)
    assert "s3cret" not in str(error.value) and error.value.__suppress_context__
