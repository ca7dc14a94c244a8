"""The data directory: one owner at a time, files for one user, an epoch that only grows, keys that never show."""

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from pixeld.datadir import DataDir, write
from pixeld.errors import DataDirInUse, SettingsError

KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def data(tmp_path):
    directory = DataDir(tmp_path / "data", "the test")
    yield directory
    directory.close()


def reopened(data):
    data.close()
    return DataDir(data.path, "the test again")


def test_a_second_owner_is_told_who_the_first_is(data):
    with pytest.raises(DataDirInUse) as error:
        DataDir(data.path, "somebody else")
    assert str(error.value) == (
        f"the data directory {data.path} is in use by the test; stop that one, or give this one a directory of its own with "
        "PIXELD_DATA_DIR"
    )


def test_the_refused_one_leaves_the_holder_s_name_alone(data):
    for _ in range(2):
        with pytest.raises(DataDirInUse, match="in use by the test;"):
            DataDir(data.path, "somebody else")


def test_another_process_is_refused_too(data):
    program = f"from pathlib import Path; from pixeld.datadir import DataDir; DataDir(Path({str(data.path)!r}), 'child')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "is in use by the test" in done.stderr


def test_a_closed_directory_can_be_opened_again(data):
    again = reopened(data)
    assert again.node == data.node
    again.close()


def test_a_dead_owner_holds_nothing(tmp_path):
    program = (
        "import os; from pathlib import Path; from pixeld.datadir import DataDir\n"
        f"directory = DataDir(Path({str(tmp_path)!r}), 'one that dies')\n"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    DataDir(tmp_path, "the next").close()


def test_everything_in_it_is_for_this_user_only(data):
    data.admin_token(None)
    data.keyring(None)
    data.next_epoch(1)
    data.keep_registry(b"{}")
    assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.path.iterdir() if path.name != "lock"}
    assert modes == dict.fromkeys(["node", "admin-token", "signing-keys", "epoch", "registry.json"], 0o600)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    path.write_text("a long old text")
    path.chmod(0o644)
    write(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("clock", [[5, 6, 7], [5, 3, 1], [5, 5, 5], [5, 0, 100]], ids=["forwards", "back", "stands", "jumps"])
def test_the_epoch_grows_whatever_the_clock_does(data, clock):
    epochs = []
    for now in clock:
        epochs.append(data.next_epoch(now))
        data = reopened(data)
    data.close()
    assert epochs == sorted(set(epochs))
    assert all(epoch >= now for epoch, now in zip(epochs, clock, strict=True))


def test_the_admin_token_is_made_once_and_kept(data):
    token = data.admin_token(None)
    assert len(token) >= 40
    again = reopened(data)
    assert again.admin_token(None) == token
    again.close()


def test_a_given_admin_token_stands_where_the_command_line_looks(data):
    assert data.admin_token("given") == "given"
    assert (data.path / "admin-token").read_text() == "given\n"


def test_signing_keys_are_made_once_and_kept(data):
    click_id = data.keyring(None).sign("shop", "blog", 1, bytes(8))
    again = reopened(data)
    assert again.keyring(None).verify(click_id, "shop") is not None
    again.close()


def test_the_first_given_key_signs_and_all_verify(data):
    old, both = data.keyring(f"1:{KEY}"), data.keyring(f"2:{KEY[::-1]}, 1:{KEY}")
    assert both.verify(old.sign("shop", "blog", 1, bytes(8)), "shop") is not None
    assert old.verify(both.sign("shop", "blog", 1, bytes(8)), "shop") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (KEY, "it must be like 1:<hex>,0:<hex>"),
        (f"one:{KEY}", "it must be like 1:<hex>,0:<hex>"),
        (f"1:{KEY}xyz", "it must be like 1:<hex>,0:<hex>"),
        (f"1:{KEY},", "it must be like 1:<hex>,0:<hex>"),
        (f"16:{KEY}", "signing key id 16 is not within 0…15"),
        (f"1:{KEY[:20]}", "signing key 1 has 10 bytes; 16 to 64 are allowed"),
    ],
    ids=["no id", "id is a word", "not hex", "comma at the end", "id too big", "too short"],
)
def test_bad_signing_keys_are_told_without_the_keys(data, text, why):
    with pytest.raises(SettingsError) as error:
        data.keyring(text)
    assert str(error.value) == f"signing_keys cannot be used: {why}"
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_damaged_kept_keys_are_told_without_the_keys(data):
    (data.path / "signing-keys").write_text(f"0:{KEY}?\n")
    with pytest.raises(SettingsError) as error:
        data.keyring(None)
    assert KEY not in str(error.value)


def test_a_damaged_node_is_told(data):
    (data.path / "node").write_text("?\n")
    data.close()
    with pytest.raises(SettingsError, match="does not hold a node's name; restore it from a backup"):
        DataDir(data.path, "the test")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("admin-token", lambda data: data.admin_token(None)),
        ("signing-keys", lambda data: data.keyring(None)),
        ("vault-keys", lambda data: data.vault_keys(str)),
        ("epoch", DataDir.epoch),
        ("registry.json", DataDir.registry),
        ("node", reopened),
    ],
)
def test_a_file_that_cannot_be_read_is_named(data, name, read):
    (data.path / name).unlink(missing_ok=True)
    (data.path / name).mkdir()  # as unreadable as another user's file, to root too
    with pytest.raises(SettingsError) as error:
        read(data)
    assert str(error.value) == f"{data.path / name} cannot be read: Is a directory; let pixeld's user read it"


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/data cannot be used: Not a directory; name another with PIXELD_DATA_DIR"):
        DataDir(tmp_path / "file" / "data", "the test")


def test_the_registry_s_picture_is_kept(data):
    assert data.registry() is None
    data.keep_registry("{\"name\": \"Bücher\"}".encode())
    assert data.registry() == "{\"name\": \"Bücher\"}".encode()


def test_a_copied_directory_is_another_node(tmp_path):
    first = DataDir(tmp_path / "one", "a test")
    name, token = first.node, first.admin_token(None)
    first.close()
    again = DataDir(tmp_path / "one", "a test")
    assert again.node == name
    again.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    copy = DataDir(tmp_path / "two", "a test")
    assert copy.node != name
    assert copy.admin_token(None) == token
    copy.close()
    copied_again = DataDir(tmp_path / "two", "a test")
    assert copied_again.node == copy.node
    copied_again.close()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda data: data.next_epoch(1), id="epoch"),
        pytest.param(lambda data: data.keyring(None), id="signing keys"),
        pytest.param(lambda data: data.admin_token(None), id="admin token"),
    ],
)
@pytest.mark.parametrize(
    ("number", "told"),
    [
        pytest.param(errno.ENOSPC, "No space left on device; name another with PIXELD_DATA_DIR", id="a full disk"),
        pytest.param(errno.EACCES, "Permission denied; let pixeld's user read and write all of it, or name another", id="another user's"),
    ],
)
def test_a_directory_that_cannot_be_written_is_told(data, monkeypatch, call, number, told):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(SettingsError, match=f"cannot be used: {told}"):
        call(data)


@pytest.mark.parametrize("deep", [False, True], ids=["here", "elsewhere, where the path would be too long for the system"])
def test_a_place_for_a_socket(deep, tmp_path):
    data = DataDir(tmp_path / ("d" * 100 if deep else "data"), "a test")
    place = data.socket("a.sock")
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(place))
    assert (place.parent == data.path) is not deep
    assert place.parent.stat().st_mode & 0o777 == 0o700
    data.close()
    assert place.exists() is not deep
