"""The vault: whatever is sealed opens where it belongs, and nothing else opens anywhere."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.accounts.vault import Unopened, Vault, new_secret

OLD, NEW = f"a1:{'11' * 32}", f"b2:{'22' * 32}"
VAULT = Vault(OLD)
PLACE = ("account", "0123", "contact")
places = st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))


@given(st.binary(max_size=2000), places)
def test_what_is_sealed_opens(plain, place):
    assert VAULT.open(*place, VAULT.seal(*place, plain)) == plain


@given(st.binary(max_size=200), places, places)
def test_it_opens_nowhere_else(plain, place, other):
    sealed = VAULT.seal(*place, plain)
    if other != place:
        with pytest.raises(Unopened):
            VAULT.open(*other, sealed)
        with pytest.raises(Unopened):
            Vault(f"{NEW},{OLD}").rewrap(*other, sealed)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("link", "0123", "contact"), id="another kind"),
        pytest.param(("account", "0124", "contact"), id="another record"),
        pytest.param(("account", "0123", "secrets"), id="another field"),
        pytest.param(("account0", "123", "contact"), id="the same letters, divided otherwise"),
    ],
)
def test_a_swapped_text_does_not_open(other):
    with pytest.raises(Unopened):
        VAULT.open(*other, VAULT.seal(*PLACE, b"secret"))


@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_text_of_which_one_character_was_altered_does_not_open(plain, data):
    sealed = VAULT.seal(*PLACE, plain)
    at = data.draw(st.integers(0, len(sealed) - 1))
    instead = data.draw(st.sampled_from("abcXYZ0189-_.,ä ").filter(lambda c: c != sealed[at]))
    with pytest.raises(Unopened):
        VAULT.open(*PLACE, sealed[:at] + instead + sealed[at + 1 :])


def test_no_bit_of_it_may_change():
    sealed = VAULT.seal(*PLACE, b"secret")
    for at in range(len(sealed)):
        for bit in range(7):
            altered = sealed[:at] + chr(ord(sealed[at]) ^ 1 << bit) + sealed[at + 1 :]
            with pytest.raises(Unopened):
                VAULT.open(*PLACE, altered)


@given(st.data())
def test_parts_of_two_texts_make_no_third(data):
    one, other = (VAULT.seal(*PLACE, text).split(".") for text in (b"one", b"other"))
    mixed = ".".join(data.draw(st.sampled_from(pair)) for pair in zip(one, other, strict=True))
    if mixed not in (".".join(one), ".".join(other)):
        with pytest.raises(Unopened):
            VAULT.open(*PLACE, mixed)


@given(st.text(max_size=200))
def test_what_was_never_sealed_does_not_open(text):
    with pytest.raises(Unopened):
        VAULT.open(*PLACE, text)


def test_nothing_of_the_plain_text_shows_and_no_two_are_alike():
    texts = {VAULT.seal(*PLACE, b"Wilhelmina") for _ in range(100)}
    assert len(texts) == 100 and not any("Wilhelmina" in text for text in texts)


def test_a_new_key_seals_and_the_old_one_opens():
    sealed, both = VAULT.seal(*PLACE, b"secret"), Vault(f"{NEW},{OLD}")
    assert both.open(*PLACE, sealed) == b"secret"
    assert both.key_of(both.seal(*PLACE, b"x")) == "b2"
    with pytest.raises(Unopened, match="'a1', which isn't here; vault_keys must be the same"):
        Vault(NEW).open(*PLACE, sealed)


def test_rewrapped_it_opens_without_the_old_key_and_was_not_sealed_anew():
    sealed = VAULT.seal(*PLACE, b"secret")
    rewrapped = Vault(f"{NEW},{OLD}").rewrap(*PLACE, sealed)
    assert Vault(NEW).open(*PLACE, rewrapped) == b"secret"
    assert rewrapped.split(".")[3] == sealed.split(".")[3]
    assert Vault(f"{NEW},{OLD}").rewrap(*PLACE, rewrapped) == rewrapped


def test_a_key_of_the_same_id_opens_nothing():
    with pytest.raises(Unopened):
        Vault(f"a1:{'33' * 32}").open(*PLACE, VAULT.seal(*PLACE, b"secret"))


def test_a_value_is_found_by_a_hash_that_needs_the_key():
    assert VAULT.look_up("email", "a@x.example") == VAULT.look_up("email", "a@x.example")
    assert VAULT.look_up("email", "a@x.example") != VAULT.look_up("email", "b@x.example")
    assert VAULT.look_up("email", "a@x.example") != VAULT.look_up("limit", "a@x.example")
    both = Vault(f"{NEW},{OLD}").look_up("email", "a@x.example")
    assert both == [*Vault(NEW).look_up("email", "a@x.example"), *VAULT.look_up("email", "a@x.example")]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("11" * 32, id="no id"),
        pytest.param(f"a1:{'11' * 16}", id="too short"),
        pytest.param(f"a1:{'11' * 33}", id="too long"),
        pytest.param("a1:" + "xy" * 32, id="not hexadecimal"),
        pytest.param(f"A1:{'11' * 32}", id="an id in capitals"),
        pytest.param(f"{OLD},{OLD}", id="an id twice"),
        pytest.param(f"{OLD},", id="a comma too many"),
    ],
)
def test_other_keys_are_refused_and_not_told(text):
    with pytest.raises(ValueError) as refused:
        Vault(text)
    assert "11" * 8 not in str(refused.value)


def test_keys_do_not_show():
    assert "22" * 8 not in repr(Vault(f"{NEW},{OLD}")) and repr(Vault(f"{NEW},{OLD}")) == "<Vault of b2, a1>"


def test_a_new_secret_is_a_key():
    one, other = new_secret(), new_secret()
    assert one != other and Vault(f"{one},{other}").earlier == [other.partition(":")[0]]
    assert len(secrets.token_bytes()) == 32
