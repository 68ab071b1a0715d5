"""Files that only their owner may read or change."""

import os
import threading

import pytest

from rpcx.errors import AccessDenied
from rpcx.security.files import MOST_BYTES, create_private, private_directory, read_private, write_private

OTHER_USER = 12345
posix = pytest.mark.skipif(os.name != "posix", reason="files have modes on POSIX only")


@posix
@pytest.mark.parametrize("mode", [0o710, 0o701, 0o755, 0o770])
def test_a_directory_that_others_may_use_is_refused_with_its_remedy(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(AccessDenied, match=f"chmod 700 {tmp_path}"):
        private_directory(tmp_path)


def test_a_directory_is_made_private(tmp_path):
    made = private_directory(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == made.parent.stat().st_mode & 0o777 == 0o700
    assert private_directory(made) == made


def test_a_link_in_a_directorys_place_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(AccessDenied, match="symbolic link"):
        private_directory(tmp_path / "link")


def test_a_file_in_a_directorys_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AccessDenied, match="no directory"):
        private_directory(tmp_path / "file")


@posix
def test_a_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    with pytest.raises(AccessDenied, match=f"not to user {OTHER_USER}"):
        private_directory(tmp_path)


@posix
@pytest.mark.parametrize(("mode", "secret", "fine"), [
    (0o600, True, True), (0o400, True, True), (0o640, True, False), (0o604, True, False), (0o644, True, False),
    (0o600, False, True), (0o644, False, True), (0o664, False, False), (0o646, False, False),
])  # fmt: skip
def test_the_mode_of_a_file_decides(tmp_path, mode, secret, fine):
    file = tmp_path / "key"
    file.write_bytes(b"x")
    file.chmod(mode)
    if fine:
        assert read_private(file, secret=secret) == b"x"
    else:
        with pytest.raises(AccessDenied, match="chmod"):
            read_private(file, secret=secret)


@posix
def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "key"
    write_private(file, b"x")
    monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    with pytest.raises(AccessDenied, match=f"not to user {OTHER_USER}"):
        read_private(file, secret=False)


def test_a_link_to_a_file_is_refused(tmp_path):
    write_private(tmp_path / "real", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(AccessDenied, match="symbolic link"):
        read_private(tmp_path / "link", secret=False)


@posix
def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    opened = os.open(tmp_path / "pipe", os.O_RDWR)  # so that opening it to read does not wait for a writer
    try:
        with pytest.raises(AccessDenied, match="no plain file"):
            read_private(tmp_path / "pipe", secret=True)
    finally:
        os.close(opened)


def test_a_huge_file_is_refused(tmp_path):
    write_private(tmp_path / "huge", bytes(MOST_BYTES + 1))
    with pytest.raises(AccessDenied, match="no file of keys"):
        read_private(tmp_path / "huge", secret=False)


def test_a_file_that_is_not_there_is_no_danger(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "nothing", secret=True)


def test_writing_replaces_the_whole_and_leaves_nothing_beside(tmp_path):
    file = tmp_path / "key"
    write_private(file, b"long enough")
    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_of_many_that_create_at_once_one_wins(tmp_path):
    made = []

    def create(number: int) -> None:
        made.append(create_private(tmp_path / "key", b"%d" % number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]
    assert os.listdir(tmp_path) == ["key"]
