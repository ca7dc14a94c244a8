"""A listener's certificate: renewed while it listens, and never lost to a bad file."""

import asyncio
import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from pixeld.errors import SettingsError
from pixeld.web.certificates import Certificate
from tests.certificates import certificate
from tests.wire.peer import request
from tests.wire.test_sequence import click, told

HELLO_S = 60


@pytest.fixture
def files(tmp_path):
    """The pair in use, and another."""
    (tmp_path / "new").mkdir()
    return certificate(tmp_path, "localhost"), certificate(tmp_path / "new", "localhost")


def replace(old, new):
    """As certificate tools do it: one file after the other."""
    for path, other in zip(old, new, strict=True):
        path.write_bytes(other.read_bytes())


def trusting(cert):
    return {"ssl": ssl.create_default_context(cafile=cert), "server_hostname": "localhost"}


def shown(peer):
    return peer.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)


def der(cert):
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


async def test_a_new_pair_is_for_new_handshakes_and_open_connections_go_on(start, files):
    old, new = files
    pair = Certificate("tls", *old)
    world = await start(certificate=pair)
    early = await world.peer(**trusting(old[0]))
    first = der(old[0])
    assert shown(early) == first
    replace(old, new)
    assert shown(await world.peer(**trusting_any())) == first  # nothing is read before it is asked for
    pair.renew()
    late = await world.peer(**trusting(new[0]))
    assert shown(late) == der(new[0])
    for n, peer in enumerate((early, late, early)):
        assert told(await peer.ask(click(n)[0])) == f"click {n}"


async def test_a_peer_that_names_no_server_has_the_new_pair_too(start, files):
    old, new = files
    pair = Certificate("tls", *old)
    world = await start(certificate=pair)
    replace(old, new)
    pair.renew()
    peer = await world.peer(ssl=trusting_any()["ssl"], server_hostname="")
    assert shown(peer) == der(new[0])
    assert peer.transport.get_extra_info("ssl_object").server_hostname is None


def trusting_any():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return {"ssl": context, "server_hostname": "localhost"}


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param(lambda cert, key, new: cert.unlink(), "No such file or directory: '{cert}'", id="no certificate"),
        pytest.param(lambda cert, key, new: key.unlink(), "No such file or directory: '{key}'", id="no key"),
        pytest.param(lambda cert, key, new: cert.write_text("nothing"), "", id="no PEM"),
        pytest.param(lambda cert, key, new: cert.write_bytes(new[0].read_bytes()), "mismatch", id="half renewed"),
        pytest.param(lambda cert, key, new: locked(key), "needs a passphrase", id="a passphrase is asked for"),
    ],
)
async def test_a_bad_pair_changes_nothing_and_is_told(broken, why, start, files, caplog):
    old, new = files
    pair = Certificate("tls", *old)
    world = await start(certificate=pair)
    first = der(old[0])
    broken(*old, new)
    pair.renew()
    assert shown(await world.peer(**trusting_any())) == first
    (record,) = [record for record in caplog.records if record.name == "pixeld.web.certificates"]
    assert record.levelname == "ERROR" and "stays in use" in record.getMessage()
    assert record.reason.startswith("tls_") and "cannot be used" in record.reason
    assert why.format(cert=old[0], key=old[1]) in record.reason
    with pytest.raises(SettingsError):
        Certificate("tls", *old)


def locked(key):
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    scheme = serialization.BestAvailableEncryption(b"a passphrase")
    key.write_bytes(plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme))


@pytest.mark.parametrize(
    ("version", "served"),
    [
        pytest.param(ssl.TLSVersion.TLSv1_1, False, id="TLS 1.1"),
        pytest.param(ssl.TLSVersion.TLSv1_2, True, id="TLS 1.2"),
        pytest.param(ssl.TLSVersion.TLSv1_3, True, id="TLS 1.3"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_versions(version, served, start, files):
    world = await start(certificate=Certificate("tls", *files[0]))
    context = trusting_any()["ssl"]
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    async with asyncio.timeout(HELLO_S):
        if not served:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await world.peer(ssl=context, server_hostname="localhost")
            return
        peer = await world.peer(ssl=context, server_hostname="localhost")
    assert peer.transport.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
    assert (await peer.ask(request("/nothing"))).status == 404
