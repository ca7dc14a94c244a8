"""Settings: one table of name, default and help; flag > environment `PIXELD_…` > file > default.

Nobody else reads the environment. An unknown key is an error that suggests the nearest; secrets never print.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from pixeld.errors import SettingsError

ENV_PREFIX = "PIXELD_"
DEFAULT_FILE = Path("config/pixeld.toml")
EXACT_AUDIENCE = "exact-audience"
SINGLE_EVENTS = "single-events"
PERMISSIONS = frozenset({EXACT_AUDIENCE, SINGLE_EVENTS})
_LEAST_K = 10  # fewer visitors are no crowd
_LEAST_BYTES = 1 << 16  # of buffer and spill: a chunk of some events must fit


def setting(default: Any, help: str, *, secret: bool = False) -> Any:
    """One row of the table."""
    return field(default=default, metadata={"help": help, "secret": secret}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting. Sizes are in bytes, times in seconds (`_s`) or milliseconds (`_ms`)."""

    host: str = setting("0.0.0.0", "Address of the public listener.")  # noqa: S104 - it is the public one
    port: int = setting(8000, "Port of the public listener; 0 takes a free one.")
    admin_host: str = setting("127.0.0.1", "Address of the admin listener: API, health and metrics.")
    admin_port: int = setting(8001, "Port of the admin listener; 0 takes a free one.")
    data_dir: Path = setting(Path("pixeld-data"), "Where keys, the admin token, the spill and embedded engines live.")
    redis_url: str | None = setting(
        None, "redis://, rediss:// or unix:// URL, or redis+sentinel://; without one, an embedded Valkey.", secret=True
    )
    redis_replicas: int = setting(
        0, "How many replicas must have a chunk, and have fsynced it where Redis knows WAITAOF, before its answer."
    )
    clickhouse_url: str | None = setting(
        None, "clickhouse://user:password@host:9000/database; without one, an embedded engine (chDB).", secret=True
    )
    public_url: str | None = setting(None, "How browsers reach the public listener, e.g. https://track.example.")
    admin_token: str | None = setting(
        None, "Token of the admin API; without one, made and kept in the data directory.", secret=True
    )
    signing_keys: str | None = setting(
        None, "Keys of click ids as `id:hex,id:hex`; the first signs, all verify. Same on every server.", secret=True
    )
    tls_cert: Path | None = setting(None, "Certificate chain (PEM) of the public listener; with tls_key.")
    tls_key: Path | None = setting(None, "Private key (PEM) of the public listener.")
    admin_tls_cert: Path | None = setting(None, "Certificate chain (PEM) of the admin listener; with admin_tls_key.")
    admin_tls_key: Path | None = setting(None, "Private key (PEM) of the admin listener.")
    admin_tls_ca: Path | None = setting(
        None, "Certificates (PEM) by which commands know the admin listener, beside those that the system trusts."
    )
    fast_path: bool = setting(True, "Answer tracking requests inside the protocol; off: ordinary handlers, same bytes.")
    cookie_name: str = setting(
        "pxref", "Name of the referral cookie; over https with `__Secure-` before it, and `__Host-` for the landing cookie."
    )
    honour_dnt: bool = setting(False, "Treat `DNT: 1` like Global Privacy Control, which is always honoured.")
    tcf_vendor_id: int = setting(0, "Your id on the IAB's Global Vendor List, to which TCF strings must consent; 0: none.")
    p3p: bool = setting(True, "Send the P3P header and serve /w3c/p3p.xml.")
    privacy_file: Path | None = setting(None, "The privacy data map (TOML); without one, the map that ships with pixeld.")
    trusted_proxies: str = setting("", "Networks (comma-separated) whose X-Forwarded-For and country header are believed.")
    country_header: str = setting("", "Header in which a trusted proxy tells the country (ISO 3166 code).")
    country_db: Path | None = setting(None, "MaxMind-format country database (.mmdb) to look addresses up in.")
    max_connections: int = setting(10_000, "Most open connections; one more is closed at once. Each takes an open file.")
    max_url_bytes: int = setting(8190, "Longest request line that is read; a longer one is a 400.")
    max_header_bytes: int = setting(8190, "Longest header that is read; a longer one is a 400.")
    max_headers: int = setting(100, "Most headers of one request; more are a 400.")
    max_request_bytes: int = setting(32_768, "Most bytes of a request line and its headers together; more are a 400.")
    request_s: float = setting(20.0, "How long a request may take to arrive; then its connection is closed.")
    keepalive_s: float = setting(75.0, "How long a connection is kept open that is idle, or takes nothing of its replies.")
    rate_per_s: float = setting(
        0.0,
        "Clicks and impressions stored for one address each second, on average; 0: any number. Each worker allows "
        "its share: fewer where an address has few connections.",
    )
    rate_burst: int = setting(100, "Clicks and impressions stored for one address at once, before rate_per_s holds.")
    api_per_s: float = setting(10.0, "Requests to /api/v1 with one key each second, on average; more are a 429.")
    api_burst: int = setting(50, "Requests to /api/v1 with one key at once, before api_per_s holds.")
    buffer_bytes: int = setting(64 << 20, "Most bytes of events in memory that are not durable yet; then 503.")
    spill_bytes: int = setting(1 << 30, "Most bytes that the spill may take on disk; then 503.")
    queue_bytes: int = setting(
        512 << 20, "Most memory of the embedded Valkey; then the spill. An external Redis has its own maxmemory."
    )
    redis_timeout_s: float = setting(2.0, "How long Redis may take to store a chunk before it goes to the spill.")
    flush_interval_s: float = setting(1.0, "How often queued events are flushed into ClickHouse; a backlog goes at once.")
    flush_max_events: int = setting(100_000, "Most events in one batch; so many take up to 210 MiB while they are inserted.")
    flush_keep_s: float = setting(10.0, "How long flushed chunks stay in Redis, where an operator can still read them.")
    lease_s: float = setting(10.0, "How long a flusher may be silent before another one takes its stream.")
    late_s: float = setting(60.0, "How long events may wait for ClickHouse; then not ready, and a warning this often.")
    shutdown_s: float = setting(18.0, "Longest time from SIGTERM to the end.")
    workers: int = setting(
        0, "Processes that answer, beside one that flushes; what is bounded is shared out among them. 0: one does everything."
    )
    log_level: str = setting("info", "debug, info, warning or error.")
    vault_keys: str | None = setting(
        None,
        "Keys that personal data is encrypted under, as `id:hex,id:hex` of 32 bytes; the first seals, all open. Same on every "
        "server; without them, made and kept in the data directory.",
        secret=True,
    )
    smtp_url: str | None = setting(
        None,
        "Mail server: smtp://user:password@host:587, or smtps://; without one, mails are kept where the operator sees them.",
        secret=True,
    )
    mail_from: str = setting("", "Sender of mails, such as `Partners <partners@example.com>`; needed with smtp_url.")
    portal: bool = setting(
        True, "Serve people: the home page, /portal/ for partners, clients and operators, and /api/v1/ with keys of theirs."
    )
    audience_k: int = setting(
        50, "Fewest visitors that a number of the audience report stands for; for days that are released from now on."
    )
    admin_permissions: str = setting(
        "",
        "What operators may see beyond groups of visitors, comma-separated, each use on the audit log: exact-audience "
        "(performance by country, device, …), single-events (`pixeld sql`, and traits in `pixeld tail`).",
    )

    def __post_init__(self) -> None:
        wrong = [message for message in _problems(self) if message]
        if wrong:
            raise SettingsError("\n".join(wrong))

    @property
    def tracker_url(self) -> str:
        """Where links and pixels point: `public_url` without its last slash, or the public listener as seen from this
        machine.
        """
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "localhost" if self.host in ("0.0.0.0", "::", "127.0.0.1", "localhost") else self.host  # noqa: S104
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    @property
    def https(self) -> bool:
        """Whether browsers reach the public listener by https, from here or through a proxy."""
        return self.tls_cert is not None or _scheme(self.tracker_url) == "https"

    @property
    def referral_cookie(self) -> str:
        """Name of the cookie that a click sets. Over https, one that browsers take from a secure origin only."""
        return f"__Secure-{self.cookie_name}" if self.https else self.cookie_name

    @property
    def landing_cookie(self) -> str:
        """Name of the cookie that the landing beacon sets. Over https, one that no other host can set or widen."""
        return f"__Host-{self.cookie_name}" if self.https else f"{self.cookie_name}-landing"

    def share(self) -> Settings:
        """One worker's settings: what is bounded for the whole server is bounded at its part of that, rounded up."""

        def part(whole: int, least: int = 1) -> int:
            return max(-(-whole // self.workers), least)

        return replace(
            self,
            max_connections=part(self.max_connections),
            rate_per_s=self.rate_per_s / self.workers,
            rate_burst=part(self.rate_burst),
            buffer_bytes=part(self.buffer_bytes, _LEAST_BYTES),
            spill_bytes=part(self.spill_bytes, _LEAST_BYTES),
        )

    def plain(self) -> dict[str, Any]:
        """Every setting as a JSON value, secrets included: for a process of our own, and `from_plain` there."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Settings:
        """See `plain`."""
        return cls(**{name: _convert(values[name], kind) for name, kind in types_by_name().items()})

    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """`trusted_proxies`, parsed."""
        return [ipaddress.ip_network(part.strip()) for part in self.trusted_proxies.split(",") if part.strip()]

    def permissions(self) -> frozenset[str]:
        """`admin_permissions`, parsed."""
        return frozenset(part.strip() for part in self.admin_permissions.split(",") if part.strip())


def _problems(s: Settings) -> list[str | None]:
    def between(name: str, low: float, high: float) -> str | None:
        value = getattr(s, name)
        return None if low <= value <= high else f"{name} is {value}; it must be from {low} to {high}"

    found = [
        between("port", 0, 65535),
        between("admin_port", 0, 65535),
        between("max_connections", 1, 1_000_000),
        between("max_url_bytes", 1024, 65536),
        between("max_header_bytes", 1024, 65536),
        between("max_headers", 10, 1000),
        between("max_request_bytes", 1024, 1 << 20),
        between("request_s", 0.1, 3600),
        between("keepalive_s", 0.1, 3600),
        between("rate_per_s", 0, 1_000_000),
        between("tcf_vendor_id", 0, 65_535),
        between("rate_burst", 1, 1_000_000),
        between("api_per_s", 0.001, 1_000_000),
        between("api_burst", 1, 1_000_000),
        between("buffer_bytes", _LEAST_BYTES, 1 << 36),
        between("spill_bytes", _LEAST_BYTES, 1 << 44),
        between("redis_replicas", 0, 16),
        between("queue_bytes", 4 << 20, 1 << 44),
        between("redis_timeout_s", 0.05, 60),
        between("flush_interval_s", 0.01, 3600),
        between("flush_max_events", 1, 1_000_000),
        between("flush_keep_s", 0, 86_400),
        between("lease_s", 1, 3600),
        between("late_s", 0.1, 86_400),
        between("shutdown_s", 1, 600),
        between("workers", 0, 256),
        between("audience_k", _LEAST_K, 1_000_000),
    ]
    for name in s.permissions() - PERMISSIONS:
        found.append(f"admin_permissions: there is no permission {name!r}; there is {', '.join(sorted(PERMISSIONS))}")
    for name in ("tls", "admin_tls"):
        if (getattr(s, f"{name}_cert") is None) != (getattr(s, f"{name}_key") is None):
            found.append(f"{name}_cert and {name}_key go together: set both or neither")
    if s.log_level not in ("debug", "info", "warning", "error"):
        found.append(f"log_level is {s.log_level!r}; it must be debug, info, warning or error")
    if not s.cookie_name.isascii() or not s.cookie_name.replace("-", "").replace("_", "").isalnum():
        found.append("cookie_name must be letters, digits, - and _")
    if s.cookie_name.startswith("__"):
        found.append(f"cookie_name is {s.cookie_name!r}; leave prefixes to pixeld, which knows which one browsers will take")
    if s.admin_token is not None and re.fullmatch(r"\s*[!-~]*\s*", s.admin_token) is None:
        found.append("admin_token must be of printable ASCII characters without a space: it stands in a header of HTTP")
    if s.public_url and not _is_origin(s.public_url):  # below a path no browser would send the cookies of /t/… back
        found.append(f"public_url is {s.public_url!r}; it must be like https://track.example, without a path")
    try:
        s.networks()
    except ValueError as error:
        found.append(f"trusted_proxies: {error}; write networks like 10.0.0.0/8, 192.168.1.5/32")
    if s.redis_url and _scheme(s.redis_url) not in ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"):
        found.append("redis_url must begin with redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://")
    if s.redis_replicas and not s.redis_url:
        found.append("redis_replicas needs a redis_url: the embedded Valkey has no replicas")
    if s.smtp_url and _scheme_of_one(s.smtp_url) not in ("smtp", "smtps"):
        found.append("smtp_url must be like smtp://user:password@host:587, or begin with smtps://")
    if s.smtp_url and "@" not in parseaddr(s.mail_from)[1]:
        found.append("smtp_url needs a mail_from, such as `Partners <partners@example.com>`")
    if s.clickhouse_url and _scheme(s.clickhouse_url) != "clickhouse":
        found.append("clickhouse_url must begin with clickhouse://")
    return found


def _is_origin(url: str) -> bool:
    """Whether a URL says how a server is reached, and no more."""
    if _scheme_of_one(url) not in ("http", "https"):
        return False
    parts = urlsplit(url)
    return parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc


def _scheme_of_one(url: str) -> str | None:
    """As `_scheme`, of a URL that names one host; None also where its port can be none."""
    try:
        port = urlsplit(url).port
    except ValueError:
        return None
    return _scheme(url) if port != 0 else None


def _scheme(url: str) -> str | None:
    """The scheme of a URL that names a host, or several, or a path; None for what is no URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme if parts.hostname or (parts.scheme == "unix" and parts.path) else None
    except ValueError:
        return None


def load(env: Mapping[str, str], flags: Mapping[str, Any] | None = None, file: Path | None = None) -> Settings:
    """Settings from all four places. SettingsError tells everything that is wrong at once.

    `file` (or `PIXELD_CONFIG`) must exist when it is named; `config/pixeld.toml` is read when it is there.
    """
    wrong: list[str] = []
    named = file or (Path(env["PIXELD_CONFIG"]) if env.get("PIXELD_CONFIG") else None)
    values: dict[str, Any] = {}
    if named is not None or DEFAULT_FILE.is_file():
        values |= _from_file(named or DEFAULT_FILE, wrong)
    for key, text in env.items():
        if key.startswith(ENV_PREFIX) and key != "PIXELD_CONFIG":
            _take(values, key.removeprefix(ENV_PREFIX).lower(), text, f"environment {key}", wrong)
    for key, value in (flags or {}).items():
        if value is not None:
            _take(values, key, value, f"flag --{key.replace('_', '-')}", wrong)
    if wrong:
        raise SettingsError("\n".join(wrong))
    return Settings(**values)


def _from_file(path: Path, wrong: list[str]) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        wrong.append(f"cannot read the settings file {path}: {error.strerror}; name another with PIXELD_CONFIG")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        wrong.append(f"{path} is not TOML: {error}")
        return {}
    values: dict[str, Any] = {}
    for key, value in content.items():
        # Sections are for the reader's eye: [server] port = 1 and port = 1 are the same setting.
        for name, inner in value.items() if isinstance(value, dict) else [(key, value)]:
            _take(values, name, inner, str(path), wrong)
    return values


def _take(values: dict[str, Any], name: str, value: Any, where: str, wrong: list[str]) -> None:
    known = types_by_name()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else "; `pixeld serve --help` lists them all"
        wrong.append(f"{where}: there is no setting {name!r}{hint}")
        return
    try:
        values[name] = _convert(value, known[name])
    except ValueError as error:
        wrong.append(f"{where}: {name} {error}")


def types_by_name() -> dict[str, Any]:
    """The type of each setting."""
    hints = get_type_hints(Settings)
    return {f.name: hints[f.name] for f in fields(Settings)}


def _convert(value: Any, kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        if value is None or value == "":
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    if kind is bool:
        if isinstance(value, bool):
            return value
        words = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
        if str(value).lower() not in words:
            raise ValueError("must be true or false")
        return words[str(value).lower()]
    if kind in (int, float):
        try:
            if isinstance(value, bool) or (kind is int and isinstance(value, float)):
                raise ValueError  # TOML's true and 1.7, of which Python would make 1
            return kind(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("must be a number" if kind is float else "must be a whole number") from None
    if not isinstance(value, (str, Path)):
        raise ValueError("must be text")
    return kind(value)


def table() -> list[tuple[str, str, str]]:
    """(name, default as text, help) of every setting, in order: what the README and `--help` show."""
    rows = []
    for f in fields(Settings):
        assert f.default is not MISSING
        text = "" if f.default is None else str(f.default).lower() if isinstance(f.default, bool) else str(f.default)
        rows.append((f.name, text, f.metadata["help"]))
    return rows
