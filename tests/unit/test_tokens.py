"""Click ids: what is signed is verified, for its client only, and nothing else ever is."""

import itertools
import re
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.tokens import MAX_LENGTH, NONCE_BYTES, Keyring, claimed_at, nonces

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
KEYS = Keyring({0: KEY}, 0)
NONCE = bytes(range(8))
AT = 1_800_000_000
TOKEN = KEYS.sign("shop", "blog", AT, NONCE)
IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)


@given(client=IDS, partner=IDS, at=st.integers(0, 2**32 - 1), nonce=st.binary(min_size=8, max_size=8))
def test_what_was_signed_comes_back(client, partner, at, nonce):
    token = KEYS.sign(client, partner, at, nonce)
    assert KEYS.verify(token, client) == (partner, at)
    assert claimed_at(token) == at
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token) and len(token) <= MAX_LENGTH


def test_the_layout_of_version_1_never_changes():
    # Links and cookies out there carry it: a change of layout needs another version number.
    assert TOKEN == "EGtJ0gAAAQIDBAUGB-8Sbq53DX2_gO08blog"


@pytest.mark.parametrize(
    ("text", "client"),
    [
        pytest.param(TOKEN, "shop2", id="of another client"),
        pytest.param(TOKEN, "sho", id="of a client whose id ends elsewhere"),
        pytest.param(TOKEN[:-1], "shop", id="partner truncated"),
        pytest.param(TOKEN + "x", "shop", id="partner extended"),
        pytest.param(TOKEN[:32] + "deal", "shop", id="another partner's name on it"),
        pytest.param(TOKEN[:31], "shop", id="tag truncated"),
        pytest.param("F" + TOKEN[1:], "shop", id="another version"),
        pytest.param("EX" + TOKEN[2:], "shop", id="a key that isn't there"),
        pytest.param("", "shop", id="empty"),
        pytest.param(TOKEN.replace("-", "+").replace("_", "/"), "shop", id="standard base64 alphabet"),
        pytest.param(TOKEN + "\n", "shop", id="line break after it"),
        pytest.param("é" * 36, "shop", id="not ASCII"),
        pytest.param("\udcff" * 36, "shop", id="surrogates of raw bytes"),
        pytest.param("A" * 100_000, "shop", id="huge"),
    ],
)
def test_refused(text, client):
    assert KEYS.verify(text, client) is None


@given(position=st.integers(0, len(TOKEN) - 1), letter=st.sampled_from(f"{ascii_letters}{digits}-_"))
def test_no_character_can_be_changed(position, letter):
    forged = TOKEN[:position] + letter + TOKEN[position + 1 :]
    assert (KEYS.verify(forged, "shop") is None) == (forged != TOKEN)


@given(st.text(max_size=80), IDS)
def test_arbitrary_text_is_refused_without_an_error(text, client):
    assert KEYS.verify(text, client) is None


def test_a_replaced_key_still_verifies_and_the_new_one_signs():
    both = Keyring({1: OTHER_KEY, 0: KEY}, 1)
    assert both.verify(TOKEN, "shop") is not None
    fresh = both.sign("shop", "blog", AT, NONCE)
    assert KEYS.verify(fresh, "shop") is None
    assert Keyring({1: OTHER_KEY}, 1).verify(fresh, "shop") is not None
    assert Keyring({1: OTHER_KEY}, 1).verify(TOKEN, "shop") is None


def test_the_same_key_id_with_another_key_verifies_nothing():
    assert Keyring({0: OTHER_KEY}, 0).verify(TOKEN, "shop") is None


@pytest.mark.parametrize(
    ("keys", "current"),
    [
        pytest.param({0: KEY}, 1, id="no current key"),
        pytest.param({16: KEY}, 16, id="key id over 15"),
        pytest.param({0: b"short"}, 0, id="key under 16 bytes"),
        pytest.param({0: b"x" * 65}, 0, id="key over 64 bytes"),
    ],
)
def test_unusable_keys_are_refused(keys, current):
    with pytest.raises(ValueError, match="signing key"):
        Keyring(keys, current)


def test_keys_never_print():
    assert "kkk" not in repr(KEYS)


def test_each_nonce_is_given_once_in_the_order_in_which_it_was_drawn():
    drawn = itertools.count()
    found = nonces(lambda n: b"".join(next(drawn).to_bytes(NONCE_BYTES) for _ in range(n // NONCE_BYTES)))
    assert [int.from_bytes(each) for each in itertools.islice(found, 2000)] == [*range(2000)]
