"""The vault: personal data as it lies in Redis.

A text is sealed under a data key of its own (AES-256-GCM), which is wrapped under a key-encryption key (AES-256-GCM). Both are
bound to where the text belongs, kind, id and field, so that it opens nowhere else.

    px1 . key id . base64url(nonce 12 | wrapped data key 32 | tag 16) . base64url(nonce 12 | ciphertext | tag 16)

From each secret that it is given, the vault derives one key that wraps and one that hashes what has to be looked up
(HKDF-SHA256, RFC 5869). A new secret is put first; `rewrap` moves a text to it without touching what was sealed.
"""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pixeld.errors import PixeldError

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORM = "px1"
_KEY_ID = re.compile(r"[a-z0-9]{1,16}", re.ASCII)


class Unopened(PixeldError):
    """A sealed text can't be opened: its key isn't here, it was altered, or it lies where it doesn't belong."""

    code = "vault"


def new_secret() -> str:
    """A secret as it stands in the setting: a random id, and 32 random bytes."""
    return f"{secrets.token_hex(4)}:{secrets.token_hex(KEY_BYTES)}"


class Vault:
    """Seals and opens under the secrets of `text`, `id:hex,id:hex`: the first seals, all open. ValueError, without any of it,
    for what isn't that.
    """

    def __init__(self, text: str) -> None:
        self.use(text)

    def use(self, text: str) -> None:
        """Go on with other secrets."""
        wraps: dict[str, AESGCM] = {}
        hashes: dict[str, bytes] = {}
        for part in text.split(","):
            id, _, given = part.strip().partition(":")
            if _KEY_ID.fullmatch(id) is None or id in wraps:
                raise ValueError("a key's id must be 1 to 16 of a-z 0-9, and each another")
            try:
                secret = bytes.fromhex(given)
            except ValueError:
                secret = b""
            if len(secret) != KEY_BYTES:
                raise ValueError(f"key {id} must be {KEY_BYTES} bytes, as {2 * KEY_BYTES} hexadecimal digits")
            wraps[id], hashes[id] = AESGCM(_derived(secret, "wrap")), _derived(secret, "look-up")
        self._wraps, self._hashes = wraps, hashes
        self.current = next(iter(wraps))

    def __repr__(self) -> str:
        return f"<Vault of {', '.join(self._wraps)}>"

    @property
    def earlier(self) -> list[str]:
        """The ids of the keys that only open."""
        return [id for id in self._wraps if id != self.current]

    def seal(self, kind: str, id: str, field: str, plain: bytes) -> str:
        """The text as it may be stored at that place, and nowhere else."""
        data_key = secrets.token_bytes(KEY_BYTES)
        return self._text(data_key, _place(kind, id, field), _sealed(AESGCM(data_key), plain, _place(kind, id, field)))

    def open(self, kind: str, id: str, field: str, text: str) -> bytes:
        """What was sealed. Unopened for anything that wasn't sealed here, for this place."""
        place = _place(kind, id, field)
        data_key, sealed = self._data_key(text, place)
        return _opened(AESGCM(data_key), sealed, place)

    def rewrap(self, kind: str, id: str, field: str, text: str) -> str:
        """The same text under the key that seals now. Unopened, as by `open`."""
        if self.key_of(text) == self.current:
            return text
        place = _place(kind, id, field)
        data_key, sealed = self._data_key(text, place)
        return self._text(data_key, place, sealed)

    def key_of(self, text: str) -> str:
        """The id of the key under which a text's data key is wrapped."""
        form, _, rest = text.partition(".")
        id = rest.partition(".")[0]
        if form != _FORM or id not in self._wraps:
            raise Unopened(
                f"this was sealed under the key {id[:16]!r}, which isn't here; vault_keys must be the same on every server"
            )
        return id

    def look_up(self, what: str, value: str) -> list[str]:
        """What stands for a value where it must be found without being stored: a hash for each key, the current one's first.
        """
        message = f"{what}\0{value}".encode()
        order = [self.current, *self.earlier]
        return [hmac.digest(self._hashes[id], message, "sha256").hex() for id in order]

    def _text(self, data_key: bytes, place: bytes, sealed: bytes) -> str:
        wrapped = _sealed(self._wraps[self.current], data_key, _wrapping(self.current, place))
        return f"{_FORM}.{self.current}.{_encoded(wrapped)}.{_encoded(sealed)}"

    def _data_key(self, text: str, place: bytes) -> tuple[bytes, bytes]:
        id = self.key_of(text)
        parts = text.split(".")
        if len(parts) != 4:
            raise Unopened("this was never sealed, or was altered")
        wrapped, sealed = _decoded(parts[2]), _decoded(parts[3])
        return _opened(self._wraps[id], wrapped, _wrapping(id, place)), sealed


def digest(text: str) -> str:
    """What is stored of a text of 32 random bytes: one hash is enough where nothing can be guessed."""
    return sha256(text.encode()).hexdigest()


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, f"pixeld vault 1 {purpose}".encode()).derive(secret)


def _place(*parts: str) -> bytes:
    """Where a text belongs, spelt so that no other place is spelt the same."""
    return b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)


def _wrapping(key_id: str, place: bytes) -> bytes:
    return _place("data key", key_id) + place


def _sealed(key: AESGCM, plain: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, bound_to)


def _opened(key: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    try:
        return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise Unopened("this was sealed under another key, was altered, or lies where it doesn't belong") from None


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if _encoded(data) != text:  # one text has one spelling: no bit of it may change unnoticed
        raise Unopened("this was never sealed, or was altered")
    return data
