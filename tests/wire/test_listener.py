"""Listeners: addresses, certificates, limits, and what a connection does not tell."""

import datetime
import socket
import ssl

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pixeld.errors import SettingsError
from pixeld.web import server
from tests.wire.peer import Peer, request
from tests.wire.test_sequence import click, noting, told, turns

ORDER = "/t/acme/o.gif?order=1&amount=1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost and its key, in files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - datetime.timedelta(1), now + datetime.timedelta(1)
    )
    signed = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256())
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls(certificate):
    """Settings of a listener with TLS, and a client's side of it."""
    context = ssl.create_default_context(cafile=certificate[0])
    context.set_alpn_protocols(["h2", "http/1.1"])
    return {"tls_cert": certificate[0], "tls_key": certificate[1]}, {"ssl": context, "server_hostname": "localhost"}


async def test_tls(start, fast_path, tls):
    settings, client = tls
    world = await start(fast_path=fast_path, **settings)
    peer = await world.peer(**client)
    assert peer.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert [told(await peer.ask(click(n)[0])) for n in range(3)] == ["click 0", "click 1", "click 2"]


async def test_order_over_tls(start, tls):
    settings, client = tls
    world = await start(manual=True, routes=noting([]), **settings)
    peer = await world.peer(**client)
    await peer.send(click(1)[0] + request("/cold") + click(2)[0])
    await world.intake.holds(1)
    await peer.send(click(3)[0])
    await turns(10)
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", "/cold"]
    for n in (2, 3):
        await world.intake.holds(1)
        world.intake.commit()
        assert told(await peer.reply()) == f"click {n}"


async def test_a_tls_peer_that_stops_sending_is_let_go(start, tls, caplog):
    """TLS knows no connection open on one side; asyncio complains about whoever tries."""
    settings, client = tls
    world = await start(manual=True, **settings)
    peer = await world.peer(**client)
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    peer.transport.close()
    await peer.rest()
    world.intake.commit()
    assert world.outcomes == {("click", "bot"): 1}
    assert caplog.text == ""


@pytest.mark.parametrize("wrong", ["no file", "key of another"])
async def test_a_certificate_that_cannot_be_used_is_said(wrong, start, certificate, tmp_path):
    key = tmp_path / "key.pem"
    if wrong == "key of another":
        other = ec.generate_private_key(ec.SECP256R1())
        key.write_bytes(
            other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    with pytest.raises(SettingsError, match=r"tls_cert .*cert.pem and tls_key .*key.pem cannot be used"):
        await start(tls_cert=certificate[0], tls_key=key)


@pytest.mark.parametrize(
    ("setting", "at_limit", "over"),
    [
        pytest.param(
            "max_url_bytes", request(f"{ORDER}&x=".ljust(1024, "a")), request(f"{ORDER}&x=".ljust(1025, "a")), id="max_url_bytes"
        ),
        pytest.param(
            "max_header_bytes",
            request(ORDER, "Cookie: " + "a" * 1000),
            request(ORDER, "Cookie: " + "a" * 1025),
            id="max_header_bytes",
        ),
    ],
)
async def test_limits_are_those_of_the_settings(setting, at_limit, over, start, fast_path):
    world = await start(fast_path=fast_path, **{setting: 1024})
    assert (await (await world.peer()).ask(at_limit)).status == 200
    peer = await world.peer()
    assert (await peer.ask(over)).status == 400
    assert await peer.rest() == b""


async def test_nothing_is_said_of_versions_and_nothing_logged_of_peers(start, fast_path, caplog):
    caplog.set_level("DEBUG")

    async def broken(_):
        raise RuntimeError("raised for the test")

    world = await start(fast_path=fast_path, routes=[web.get("/broken", broken)])
    for raw, status in [(ORDER, 200), ("/nothing", 404), ("/broken", 500), (f"{ORDER} x", 400)]:
        reply = await (await world.peer()).ask(request(raw))
        assert reply.status == status
        assert b"aiohttp" not in reply.raw and b"Python" not in reply.raw and b"raised" not in reply.raw
    assert caplog.text.count("RuntimeError: raised for the test") == 1
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == ["Error handling a request"]
    assert "127.0.0.1" not in caplog.text


async def test_a_plain_listener(start):
    """The admin's: the same sockets, and nothing else of the public one."""
    app = web.Application()
    app.add_routes(noting([]))
    bound = server.bind("127.0.0.1", 0)
    listener = await server.listen_plainly(app, bound)
    peer = await Peer.connect(host="127.0.0.1", port=bound.getsockname()[1])
    assert told(await peer.ask(request("/cold"))) == "/cold"
    await listener.stop()
    assert await peer.rest() == b""


@pytest.mark.parametrize(("host", "peer"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("localhost", "127.0.0.1")])
def test_bind(host, peer):
    with server.bind(host, 0) as bound:
        assert bound.family == socket.AF_INET
        bound.listen()
        socket.create_connection((peer, bound.getsockname()[1])).close()


def test_of_two_addresses_of_a_name_the_older_kind_is_taken(monkeypatch):
    """Whoever is told `localhost` may try either; nearly all try 127.0.0.1, many nothing else."""
    addresses = socket.getaddrinfo("::1", 0, type=socket.SOCK_STREAM) + socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    with server.bind("localhost", 0) as bound:
        assert bound.family == socket.AF_INET


def test_an_address_that_is_taken_is_said():
    with server.bind("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            server.bind("127.0.0.1", port)


async def test_an_address_that_is_taken_meanwhile_is_said(start):
    """Two may bind an address, one can listen on it."""
    with server.bind("127.0.0.1", 0) as first, server.bind("127.0.0.1", first.getsockname()[1]) as second:
        listener = await server.listen_plainly(web.Application(), first)
        with pytest.raises(SettingsError, match=r"cannot listen on 127.0.0.1:\d+: Address already in use"):
            await server.listen_plainly(web.Application(), second)
        await listener.stop()


def test_a_host_that_does_not_exist_is_said():
    with pytest.raises(SettingsError, match="cannot listen on no.such.host.invalid:0"):
        server.bind("no.such.host.invalid", 0)
