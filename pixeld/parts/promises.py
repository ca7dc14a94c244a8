"""What is promised of every place at which something is held: for how many days it stays there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pixeld.storage import migrations

# Without a limit of days: a bound of another kind, or as long as what it belongs to.
_OTHERS = (
    "clickhouse:schema_migrations",
    "redis:pixeld:streams",
    *(f"redis:pixeld:{{registry}}:{name}" for name in ("clients", "partners", "members", "version", "audit")),
    "redis:pixeld:{orders}:decision:*",
    *(f"redis:pixeld:{{*}}:{name}" for name in ("queue", "lease", "fence", "manifest", "repeated", "dead")),
    *(
        f"redis:pixeld:{{accounts}}:{kind}{end}"
        for kind in ("account", "email", "party", "mail", "link", "session", "key", "policy", "limit", "canary")
        for end in ("", ":*")
    ),
    *(f"file:{name}" for name in ("admin-token", "signing-keys", "vault-keys", "epoch", "node", "lock", "registry.json")),
    *(f"file:{name}" for name in ("house.sock", "spill/*", "redis/*", "clickhouse/*")),
)


def promises() -> Mapping[str, int | None]:
    """Days by place, None for no limit. A place that isn't there is promised nothing."""
    keeps = {migration.name: re.search(r"\{\{keep (\d+) \w+\}\}", migration.text) for migration in migrations.known()}
    return dict.fromkeys(_OTHERS) | {f"clickhouse:{name}": int(found[1]) for name, found in keeps.items() if found}
