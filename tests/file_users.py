"""A real engine (chDB, 26.9) whose users are what SQL made of them, though it keeps users in a file only.

The engine in this process's child has no place where CREATE USER could be kept, and nobody logs in to it. But it reads a users.xml
with grants and row filters, again and again, and a view runs with the rights of the user who defines it. So what the statements
say is written into that file, and a query of somebody's is read through a view of his. Grants, filters and views are then the
engine's own; how policies add up to one filter is said here, as ClickHouse's documentation has it.
"""

import json
import re
import subprocess
import sys
from contextlib import suppress
from xml.sax.saxutils import escape

from pixeld.errors import WarehouseAway
from pixeld.storage.chdb import _failure
from pixeld.storage.clickhouse import Address
from pixeld.storage.features import Features

_CONFIG = "<clickhouse><users_config>{}</users_config></clickhouse>"
_USERS = "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>{}</users></clickhouse>"
_USER = """<{name}><no_password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<grants>{grants}</grants><databases>{filters}</databases></{name}>
"""
_ENGINE = """
import json, os, sys
path, config = sys.argv[1:]
os.chdir(path)
from chdb import _chdb
connection = None
for line in sys.stdin:
    try:
        if line == "\\n" or connection is None:  # it reads its users when it is opened
            if connection is not None:
                connection.close()
            connection = _chdb.connect(f"{path}/data?config-file={config}")
        if line == "\\n":
            continue
        answer = {"rows": connection.query(json.loads(line), "JSONEachRow", params={}).bytes().decode()}
    except RuntimeError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
"""
_NAME = r"`([^`]+)`"
_PATH = rf"{_NAME}\.`?([^`\s]+)`?"
_POLICY = re.compile(rf"CREATE ROW POLICY OR REPLACE {_NAME} ON {_PATH} FOR SELECT USING (.+) AS (\w+) TO {_NAME}")


class FileUsers:
    """`closed` servers give no row to a user without a policy, and nothing of `system`; open ones do, as by default."""

    def __init__(self, directory, *, closed=True):
        self.closed = closed
        self._file, config = directory / "users.xml", directory / "config.xml"
        self.users, self.roles, self.policies, self.said = {"default": []}, {}, {}, []
        self._stale = True  # the engine's file
        self.passwords = set()  # user and password of every connection
        config.write_text(_CONFIG.format(self._file))
        command = [sys.executable, "-c", _ENGINE, str(directory), str(config)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run("CREATE DATABASE probe")

    def restore(self, closed, users, policies):
        """Whatever was meanwhile."""
        self.closed, self.users, self.policies, self._stale = closed, users, policies, True

    def run(self, sql):
        """As the engine's own user, who may do everything."""
        if self._stale and not sql.startswith("EXPLAIN"):
            self._write()
            print(file=self._child.stdin, flush=True)
            self._stale = False
        print(json.dumps(sql), file=self._child.stdin, flush=True)
        answer = json.loads(self._child.stdout.readline())
        if "error" in answer:
            raise _failure(answer["error"])
        return [json.loads(line) for line in answer["rows"].splitlines()]

    def ask(self, user, sql, database="pixeld"):
        """As `user`."""
        if user not in self.users:
            raise WarehouseAway(f"no user {user} (code 516)")
        if self.closed and "system." in sql:
            raise WarehouseAway("not enough privileges (code 497)")
        self.run(f"USE `{database}`")
        self.run(f"CREATE OR REPLACE VIEW probe.asked DEFINER = `{user}` SQL SECURITY DEFINER AS {sql}")
        return self.run("SELECT * FROM probe.asked")

    def command(self, sql):
        """Any statement, by its effect; the engine must at least understand it."""
        self.said.append(sql)
        self.run(f"EXPLAIN AST {sql}")
        if found := re.match(rf"CREATE USER (?:OR REPLACE )?{_NAME}", sql):
            self.users[found[1]] = []
            self.policies = {key: policy for key, policy in self.policies.items() if policy[2] != found[1]}  # it has a new id
        elif found := re.match(rf"CREATE ROLE OR REPLACE {_NAME}", sql):
            self.roles[found[1]] = []
        elif found := re.match(rf"GRANT SELECT ON {_PATH} TO {_NAME}", sql):
            (self.roles if found[3] in self.roles else self.users)[found[3]].append(f"GRANT SELECT ON `{found[1]}`.`{found[2]}`")
        elif found := re.match(rf"GRANT {_NAME} TO {_NAME}", sql):
            self.users[found[2]] += self.roles[found[1]]
        elif found := _POLICY.match(sql):
            name, database, table, condition, kind, user = found.groups()
            assert user in self.users, f"no user {user}"
            self.policies[name, database, table] = (condition, kind, user)
        elif found := re.match(rf"DROP USER IF EXISTS {_NAME}", sql):
            self.users.pop(found[1], None)
        elif found := re.match(rf"DROP ROLE IF EXISTS {_NAME}", sql):
            self.roles.pop(found[1], None)
        elif found := re.match(rf"DROP ROW POLICY IF EXISTS {_NAME} ON {_PATH}", sql):
            self.policies.pop(found.groups(), None)
        elif re.match("(CREATE|DROP) (DATABASE|OR REPLACE VIEW|VIEW)", sql):
            self.run(sql)
            return
        else:
            assert re.match("(CREATE|DROP) (SETTINGS PROFILE|QUOTA)|ALTER USER", sql), sql
            return
        self._stale = True

    def _write(self):
        tables = {(database, table) for _, database, table in self.policies}
        text = ""
        for user, granted in self.users.items():
            grants = ["GRANT ALL ON *.* WITH GRANT OPTION"] if user == "default" else granted
            filters = {(d, t): self._filter(user, d, t) for d, t in sorted(tables)}
            text += _USER.format(
                name=user,
                grants="".join(f"<query>{grant}</query>" for grant in grants),
                filters="".join(
                    f"<{d}><{t}><filter>{escape(condition)}</filter></{t}></{d}>" for (d, t), condition in filters.items() if condition
                ),
            )
        self._file.write_text(_USERS.format(text))

    def _filter(self, user, database, table):
        """One permissive policy must let a row through, and every restrictive one; "" for every row."""
        of_user = [p for (_, d, t), p in self.policies.items() if (d, t) == (database, table) and p[2] == user]
        permissive = [condition for condition, kind, _ in of_user if kind == "PERMISSIVE"]
        restrictive = [f"({condition})" for condition, kind, _ in of_user if kind == "RESTRICTIVE"]
        one = f"({' OR '.join(permissive)})" if permissive else "0" if self.closed else ""
        return " AND ".join([*([one] if one else []), *restrictive])

    def connect(self, url):
        """As `storage.clickhouse.connector`."""
        address = Address.parse(url)
        return lambda: _Link(self, address)

    def close(self):
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.wait(120)
        self._child.stdout.close()


class _Link:
    def __init__(self, engine, address):
        self.features = Features.of("26.9.2.1", address.cluster)
        self._engine, self._address = engine, address
        engine.passwords.add((address.user, address.password))

    def query(self, sql, params):
        assert not params
        return self._engine.ask(self._address.user, sql, self._address.database)

    def command(self, sql):
        self._engine.command(sql)

    def close(self):
        pass
