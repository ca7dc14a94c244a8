"""Settings: who beats whom, what is refused and how it is told, and that the documentation is the code's."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from pixeld.cli import settings_doc
from pixeld.errors import SettingsError
from pixeld.settings import Settings, load, table

PROJECT = Path(__file__).parents[2]
SECRETS = {
    "redis_url": "redis://:tellnobody@cache:6379/0",
    "clickhouse_url": "clickhouse://pixeld:tellnobody@house:9000/pixeld",
    "admin_token": "tellnobody",
    "signing_keys": "0:7e11b0d97e11b0d97e11b0d97e11b0d9",
    "vault_keys": "a:7e11b0d97e11b0d97e11b0d97e11b0d97e11b0d97e11b0d97e11b0d97e11b0d9",
    "smtp_url": "smtps://pixeld:tellnobody@mail.example",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No settings file but those that a test writes."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toml(tmp_path):
    def write(text, name="own.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("flag", "env", "file", "port"),
    [
        ("1", "2", "3", 1),
        (None, "2", "3", 2),
        (None, None, "3", 3),
        (None, None, None, 8000),
        ("1", None, "3", 1),
        ("1", "2", None, 1),
        (None, "2", None, 2),
    ],
    ids=["flag first", "then environment", "then file", "then default", "flag over file", "flag over env", "env over default"],
)
def test_precedence(flag, env, file, port, toml):
    path = toml(f"port = {file}") if file else None
    assert load({"PIXELD_PORT": env} if env else {}, {"port": flag}, path).port == port


def test_the_file_in_config_is_read_without_being_named(toml):
    toml("[server]\nport = 9001", "config/pixeld.toml")
    assert load({}).port == 9001


def test_pixeld_config_names_the_file(toml):
    path = toml("port = 9002")
    assert load({"PIXELD_CONFIG": str(path)}).port == 9002


def test_a_named_file_beats_pixeld_config(toml):
    env = {"PIXELD_CONFIG": str(toml("port = 1", "a.toml"))}
    assert load(env, file=toml("port = 2", "b.toml")).port == 2


def test_sections_are_for_the_eye_only(toml):
    path = toml('port = 1\n[whatever]\nadmin_port = 2\n[storage]\ndata_dir = "d"')
    settings = load({}, file=path)
    assert (settings.port, settings.admin_port, settings.data_dir) == (1, 2, Path("d"))


def test_the_environment_of_others_is_no_concern():
    assert load({"PATH": "/bin", "PIXEL": "1"}) == Settings()


NO_SMTP = "smtp_url must be like smtp://user:password@host:587, or begin with smtps://"
NO_TOKEN = "admin_token must be of printable ASCII characters without a space: it stands in a header of HTTP"


@pytest.mark.parametrize(
    ("env", "flags", "says"),
    [
        ({"PIXELD_PROT": "1"}, {}, "environment PIXELD_PROT: there is no setting 'prot'; did you mean port?"),
        ({}, {"prt": "1"}, "flag --prt: there is no setting 'prt'; did you mean port?"),
        ({"PIXELD_ZZ": "1"}, {}, "environment PIXELD_ZZ: there is no setting 'zz'; `pixeld serve --help` lists them all"),
        ({"PIXELD_PORT": "eight"}, {}, "environment PIXELD_PORT: port must be a whole number"),
        ({"PIXELD_KEEPALIVE_S": "long"}, {}, "environment PIXELD_KEEPALIVE_S: keepalive_s must be a number"),
        ({"PIXELD_P3P": "maybe"}, {}, "environment PIXELD_P3P: p3p must be true or false"),
        ({}, {"port": "70000"}, "port is 70000; it must be from 0 to 65535"),
        ({}, {"workers": "-1"}, "workers is -1; it must be from 0 to 256"),
        ({}, {"workers": "257"}, "workers is 257; it must be from 0 to 256"),
        ({}, {"log_level": "loud"}, "log_level is 'loud'; it must be debug, info, warning or error"),
        *(
            ({}, {"public_url": url}, f"public_url is {url!r}; it must be like https://track.example, without a path")
            for url in (
                "track.example", "https://track.example:port", "https://track.example/pixels", "https://track.example/?a", "https://a@b.example",
            )
        ),
        ({}, {"smtp_url": "http://x", "mail_from": "a@mail.example"}, NO_SMTP),
        ({}, {"smtp_url": "smtp://x:port", "mail_from": "a@mail.example"}, NO_SMTP),
        ({}, {"cookie_name": "a b"}, "cookie_name must be letters, digits, - and _"),
        (
            {}, {"cookie_name": "__Secure-x"},
            "cookie_name is '__Secure-x'; leave prefixes to pixeld, which knows which one browsers will take",
        ),
        ({}, {"tls_cert": "c.pem"}, "tls_cert and tls_key go together: set both or neither"),
        ({}, {"redis_url": "http://x"}, "redis_url must begin with redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://"),
        ({}, {"redis_replicas": 1}, "redis_replicas needs a redis_url: the embedded Valkey has no replicas"),
        ({}, {"clickhouse_url": "http://x"}, "clickhouse_url must begin with clickhouse://"),
        ({"PIXELD_ADMIN_TOKEN": "s3cret token"}, {}, NO_TOKEN),
        ({"PIXELD_ADMIN_TOKEN": "s3cret-töken"}, {}, NO_TOKEN),
        ({"PIXELD_ADMIN_TOKEN": "s3cret\ntoken"}, {}, NO_TOKEN),
    ],
)
def test_what_is_refused_and_how(env, flags, says):
    with pytest.raises(SettingsError) as error:
        load(env, flags)
    assert str(error.value) == says


@pytest.mark.parametrize(
    ("values", "names"),
    [
        pytest.param({}, ("pxref", "pxref-landing"), id="on this machine"),
        pytest.param({"public_url": "http://track.example"}, ("pxref", "pxref-landing"), id="http"),
        pytest.param({"public_url": "https://track.example"}, ("__Secure-pxref", "__Host-pxref"), id="https by a proxy"),
        pytest.param({"tls_cert": Path("c"), "tls_key": Path("k")}, ("__Secure-pxref", "__Host-pxref"), id="https from here"),
        pytest.param({"cookie_name": "a", "public_url": "https://t.example"}, ("__Secure-a", "__Host-a"), id="another name"),
    ],
)
def test_cookies_have_the_prefix_that_browsers_hold_to_its_word(values, names):
    settings = Settings(**values)
    assert (settings.referral_cookie, settings.landing_cookie) == names


def test_a_bad_network_is_told_with_an_example():
    with pytest.raises(SettingsError, match="trusted_proxies: .*10.0.0.300.*; write networks like 10.0.0.0/8"):
        load({"PIXELD_TRUSTED_PROXIES": "10.0.0.0/8, 10.0.0.300"})


def test_unknown_keys_and_wrong_types_are_told_all_at_once(toml):
    path = toml('[server]\nprot = 1\nhost = 5\nport = "x"')
    with pytest.raises(SettingsError) as error:
        load({"PIXELD_P3P": "maybe", "PIXELD_BUFFR_BYTES": "1"}, {"admin_port": "y"}, path)
    assert str(error.value).splitlines() == [
        f"{path}: there is no setting 'prot'; did you mean port?",
        f"{path}: host must be text",
        f"{path}: port must be a whole number",
        "environment PIXELD_P3P: p3p must be true or false",
        "environment PIXELD_BUFFR_BYTES: there is no setting 'buffr_bytes'; did you mean buffer_bytes?",
        "flag --admin-port: admin_port must be a whole number",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("port = 1.7", "port must be a whole number"),
        ("port = true", "port must be a whole number"),
        ("port = inf", "port must be a whole number"),
        ("keepalive_s = true", "keepalive_s must be a number"),
        ("keepalive_s = inf", "keepalive_s is inf; it must be from 0.1 to 3600"),
        ("keepalive_s = nan", "keepalive_s is nan; it must be from 0.1 to 3600"),
    ],
)
def test_a_number_in_the_file_is_never_made_another(line, says, toml):
    with pytest.raises(SettingsError, match=f"{re.escape(says)}$"):
        load({}, file=toml(line))


def test_values_out_of_range_are_told_all_at_once():
    with pytest.raises(SettingsError) as error:
        load({"PIXELD_PORT": "-1", "PIXELD_LEASE_S": "0", "PIXELD_LOG_LEVEL": "loud"})
    assert [line.split()[0] for line in str(error.value).splitlines()] == ["port", "lease_s", "log_level"]


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read the settings file .*gone\.toml: No such file or directory"):
        load({}, file=tmp_path / "gone.toml")


def test_a_file_that_is_not_toml(toml):
    with pytest.raises(SettingsError, match=r"own\.toml is not TOML: "):
        load({}, file=toml("port: 1"))


@pytest.mark.parametrize("shown", [repr, str, lambda s: f"{s}", lambda s: f"{s!r}"], ids=["repr", "str", "f", "f!r"])
def test_secrets_never_print(shown):
    text = shown(Settings(**SECRETS, mail_from="p@track.example"))
    assert "tellnobody" not in text
    assert "7e11b0d9" not in text


def test_the_secrets_are_those_that_are_marked():
    assert {f.name for f in fields(Settings) if f.metadata["secret"]} == set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["tellnobody", 5], ids=["wrong text", "wrong type"])
def test_secrets_never_stand_in_errors(name, value, toml):
    path = toml(f"{name} = {value!r}\nport = -1")
    with pytest.raises(SettingsError) as error:
        load({f"PIXELD_{name.upper()}S": "tellnobody"}, file=path)
    assert "tellnobody" not in str(error.value)
    with pytest.raises(SettingsError) as error:
        load({}, file=path)
    assert "tellnobody" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://localhost:8000"),
        ({"host": "10.1.2.3", "port": 80}, "http://10.1.2.3:80"),
        ({"public_url": "https://track.example/"}, "https://track.example"),
        ({"tls_cert": Path("c"), "tls_key": Path("k")}, "https://localhost:8000"),
    ],
)
def test_where_links_point(settings, url):
    assert Settings(**settings).tracker_url == url


# The documentation

def test_the_documented_file_is_up_to_date():
    assert (PROJECT / settings_doc.TOML).read_text("utf-8") == settings_doc.toml(), "run `make docs`"


def test_the_readme_is_up_to_date():
    readme = (PROJECT / settings_doc.README).read_text("utf-8")
    assert settings_doc.into_readme(readme) == readme, "run `make docs`"


@pytest.mark.parametrize(("name", "default", "text"), table(), ids=[row[0] for row in table()])
def test_every_setting_is_documented(name, default, text):
    toml, row = settings_doc.toml(), f"| `{name}` | `PIXELD_{name.upper()}` |"
    assert f"\n# {name} = " in toml
    assert f"# {text}\n" in toml
    assert row in settings_doc.markdown()
    assert len(text) > 20
    assert text.endswith(".")


def test_the_documented_file_changes_nothing_as_it_is(toml):
    assert load({}, file=toml(settings_doc.toml())) == Settings()


def test_the_documented_defaults_are_the_defaults(toml):
    lines = settings_doc.toml().splitlines()
    uncommented = [line.removeprefix("# ") if " = " in line else line for line in lines]
    path = toml("\n".join(uncommented))
    written = tomllib.loads(path.read_text())
    assert {name for section in written.values() for name in section} == {name for name, _, _ in table()}
    assert load({}, file=path) == Settings()


def test_a_readme_without_a_place_for_the_table_is_told():
    with pytest.raises(ValueError, match="README.md lacks the markers <!-- settings --> and <!-- /settings -->"):
        settings_doc.into_readme("# pixeld\n")


def test_only_the_table_of_the_readme_is_replaced():
    readme = f"before\n{settings_doc.BEGIN}\nold\n{settings_doc.END}\nafter\n"
    assert settings_doc.into_readme(readme) == f"before\n{settings_doc.markdown()}\nafter\n"


@pytest.mark.parametrize(
    ("name", "whole", "share"),
    [
        pytest.param("max_connections", 100, 34, id="rounded up"),
        pytest.param("rate_per_s", 1.5, 0.5, id="a rate is no whole number"),
        pytest.param("rate_per_s", 0.0, 0.0, id="any number stays any number"),
        pytest.param("rate_burst", 1, 1, id="never nothing"),
        pytest.param("buffer_bytes", 3 << 20, 1 << 20, id="memory"),
        pytest.param("spill_bytes", 1 << 16, 1 << 16, id="never too little to work with"),
        pytest.param("request_s", 20.0, 20.0, id="a time is nothing to share"),
    ],
)
def test_workers_share_what_is_bounded(name, whole, share):
    assert getattr(Settings(workers=3, **{name: whole}).share(), name) == share


def test_settings_go_to_another_process_as_they_are():
    settings = Settings(data_dir=Path("/x"), tls_cert=Path("c"), tls_key=Path("k"), port=1, rate_per_s=2.5, p3p=False, mail_from="p@x.example", **SECRETS)
    assert Settings.from_plain(json.loads(json.dumps(settings.plain()))) == settings
