"""What `pixeld check` finds of listeners and keys."""

from pathlib import Path

import pytest

from pixeld import checkup
from pixeld.datadir import DataDir
from pixeld.settings import Settings
from pixeld.web import server
from tests.certificates import certificate


@pytest.mark.parametrize(
    ("host", "tls", "advised"),
    [
        pytest.param("127.0.0.1", False, False, id="this machine only"),
        pytest.param("localhost", False, False, id="by name"),
        pytest.param("0.0.0.0", False, True, id="a network"),
        pytest.param("0.0.0.0", True, False, id="a network, with TLS"),
    ],
)
def test_an_admin_listener_that_a_network_reaches_needs_tls(host, tls, advised):
    given = {"admin_tls_cert": "c", "admin_tls_key": "k"} if tls else {}
    found = checkup._port(Settings(**given), "admin", host, 0)
    assert found.ok and ("admin_tls_cert" in found.advice) is advised
    assert not checkup._port(Settings(), "public", host, 0).advice


def test_a_server_that_runs_is_nothing_to_mend(tmp_path):
    data = DataDir(tmp_path, "the pixeld with process id 7")
    found = checkup._running(Settings(data_dir=tmp_path))
    data.close()
    assert found.ok and found.detail.endswith("is in use by the pixeld with process id 7") and "/readyz" in found.advice


@pytest.mark.parametrize(("name", "mended"), [("public", "with --host or --port"), ("admin", "with --admin-host or --admin-port")])
def test_a_port_that_is_taken(name, mended):
    with server.bind("127.0.0.1", 0) as bound:
        bound.listen()
        found = checkup._port(Settings(), name, *bound.getsockname())
    assert not found.ok and "cannot listen on" in found.detail and found.detail.endswith(mended)


@pytest.mark.parametrize(
    ("said", "instead", "why"),
    [
        pytest.param('policy_name = "pixeld"', "", "policy_name: is missing", id="malformed"),
        pytest.param("kept_days = 8 ", "kept_days = 7 ", "keeps affinities 7 days and forgotten 7 days", id="what is forgotten comes back"),
        pytest.param("kept_days = 760", "kept_days = 36500", "36500 days for order_decisions", id="past the end of the database's time"),
    ],
)
def test_a_map_with_which_no_server_starts(said, instead, why, tmp_path):
    own, shipped = tmp_path / "map.toml", (Path(__file__).parents[2] / "config" / "privacy.toml").read_text()
    assert said in shipped
    own.write_text(shipped.replace(said, instead))
    found = checkup._policy(Settings(privacy_file=own))
    assert not found.ok and why in found.detail
    assert checkup._policy(Settings()).ok


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({}, [("kept here, where `pixeld mail list` shows it", True)], id="kept"),
        pytest.param(
            {"smtp_url": "smtp://127.0.0.1:25", "mail_from": "partners@example.com"}, [("sent as partners@example.com", False)], id="sent"
        ),
        pytest.param({"portal": False}, [], id="nobody waits for any"),
    ],
)
async def test_mail_that_is_not_sent_is_told_where_people_wait_for_it(given, told, tmp_path):
    away = {"redis_url": "redis://127.0.0.1:1", "clickhouse_url": "clickhouse://127.0.0.1:1/pixeld"}
    found = await checkup.check(Settings(data_dir=tmp_path / "data", port=0, admin_port=0, **away, **given))
    assert [(each.detail, "smtp_url" in each.advice) for each in found if each.name == "mail"] == told


@pytest.mark.parametrize("name", ["tls", "admin_tls"])
def test_certificates(name, tmp_path):
    cert, key = certificate(tmp_path, "localhost")
    settings = Settings(**{f"{name}_cert": cert, f"{name}_key": key})
    assert checkup._tls(settings, name) == checkup.Finding(name.replace("_", " "), True, str(cert))
    key.unlink()
    found = checkup._tls(settings, name)
    assert not found.ok and f"{name}_key {key} cannot be used" in found.detail


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"signing_keys": "s3cret"}, "signing_keys cannot be used", id="signing keys"),
        pytest.param({"vault_keys": "a:s3cret"}, "vault_keys cannot be used", id="vault keys"),
    ],
)
async def test_what_a_server_would_not_start_with_is_found(values, says, tmp_path):
    settings = Settings(data_dir=tmp_path / "data", port=0, admin_port=0, **values)
    wrong = [finding for finding in await checkup.check(settings) if not finding.ok]
    assert [says in finding.detail for finding in wrong] == [True]
    assert "s3cret" not in str(wrong)
