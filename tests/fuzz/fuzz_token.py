"""Click ids: exactly what was signed for this client is accepted, and it says what was signed."""

import re
from base64 import urlsafe_b64decode
from hashlib import blake2b

from pixeld.domain.tokens import MAX_LENGTH, Keyring
from tests.fuzz import text

SECRETS = {3: b"sixteen bytes or more", 0: b"an older one, still there"}
KEYS = Keyring(SECRETS, 3)
CLIENTS = ("shop", "s", "shop-2", "0" * 32)
PARTNERS = ("blog", "b", "a-b", "x" * 32)


def reference(token, client):
    """The rules once more, from the layout on the module's first page: (partner, clicked at), or None."""
    if not re.match(r"\A[\w-]{32}[a-z0-9][a-z0-9-]{0,31}\Z", token, re.ASCII):
        return None
    raw, partner = urlsafe_b64decode(token[:32]), token[32:]
    secret = SECRETS.get(raw[0] & 15)
    if raw[0] >> 4 != 1 or secret is None:
        return None
    tag = blake2b(raw[:13] + client.encode() + b"/" + partner.encode(), key=secret, digest_size=11).digest()
    return (partner, raw[1] << 24 | raw[2] << 16 | raw[3] << 8 | raw[4]) if tag == raw[13:] else None


def check(data):
    """Any text, and a good token into which the text is written somewhere."""
    head, found = data[:16].ljust(16, b"\0"), text(data[16:])
    client, partner = CLIENTS[head[0] % 4], PARTNERS[head[1] % 4]
    clicked_at, nonce, place = int.from_bytes(head[2:6]), head[6:14], head[14] % 65
    token = KEYS.sign(client, partner, clicked_at, nonce)
    assert len(token) <= MAX_LENGTH and re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert KEYS.verify(token, client) == (partner, clicked_at)
    assert all(KEYS.verify(token, other) is None for other in CLIENTS if other != client)
    for forged in (found, token[:place] + found + token[place + len(found) :], token[:place] + found + token[place:]):
        said = KEYS.verify(forged, client)
        assert said == reference(forged, client)
