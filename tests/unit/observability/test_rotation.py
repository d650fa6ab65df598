"""The log file stays small and private, and a bad disk costs lines, not the program."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kafka_self_healing.observability import LogRotator


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "daemon.log"


def contents(folder: Path) -> dict[str, str]:
    """Return all files of a folder with what they hold."""
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_full_files_are_numbered_and_the_oldest_goes(path: Path) -> None:
    """Three files of one line each are kept beside the current one; the rest is gone."""
    rotator = LogRotator(path, max_bytes=10, keep=3)

    assert all(rotator.write(f"line {n:04d}\n") for n in range(1, 8))

    rotator.close()
    assert contents(path.parent) == {
        "daemon.log": "line 0007\n",
        "daemon.log.1": "line 0006\n",
        "daemon.log.2": "line 0005\n",
        "daemon.log.3": "line 0004\n",
    }


def test_a_file_never_exceeds_its_size(path: Path) -> None:
    """Lines are moved to the next file before the limit is passed, also after a restart."""
    for n in range(50):
        rotator = LogRotator(path, max_bytes=100, keep=2)
        assert rotator.write(f"line {n:04d}\n")
        rotator.close()

    assert {len(text) <= 100 for text in contents(path.parent).values()} == {True}
    assert len(contents(path.parent)) == 3


def test_a_line_longer_than_the_file_is_written(path: Path) -> None:
    """A line that fits nowhere has a file of its own."""
    rotator = LogRotator(path, max_bytes=10, keep=1)
    long = "x" * 50 + "\n"

    assert rotator.write("a\n")
    assert rotator.write(long)

    rotator.close()
    assert contents(path.parent) == {"daemon.log": long, "daemon.log.1": "a\n"}


def test_nothing_is_kept_if_so_wished(path: Path) -> None:
    """With keep 0 a full file is given up."""
    rotator = LogRotator(path, max_bytes=10, keep=0)

    assert rotator.write("line 0001\n")
    assert rotator.write("line 0002\n")

    rotator.close()
    assert contents(path.parent) == {"daemon.log": "line 0002\n"}


def test_all_files_are_private(path: Path) -> None:
    """Current and old files are 0600, also one that was there before with wider rights."""
    path.touch(0o644)
    rotator = LogRotator(path, max_bytes=10, keep=2)

    assert all(rotator.write(f"line {n:04d}\n") for n in range(5))

    rotator.close()
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_full_disk_loses_whole_lines(path: Path) -> None:
    """A line that fits only in part is taken back, and writing goes on once there is room."""
    rotator = LogRotator(path, max_bytes=1_000, keep=1)
    assert rotator.write("first\n")

    with file_size_limit(10):
        assert not rotator.write("second, too long\n")
        assert not rotator.write("third, too long\n")
    assert rotator.write("fourth\n")

    rotator.close()
    assert path.read_text() == "first\nfourth\n"


def test_a_missing_folder_loses_lines_until_it_is_there(tmp_path: Path) -> None:
    """A file that cannot be opened is tried again at each line."""
    path = tmp_path / "later" / "daemon.log"
    rotator = LogRotator(path)

    assert not rotator.write("lost\n")
    path.parent.mkdir()
    assert rotator.write("written\n")

    rotator.close()
    assert path.read_text() == "written\n"


def test_a_rotation_that_fails_keeps_writing(path: Path) -> None:
    """If the old file cannot be renamed, lines go on into it."""
    rotator = LogRotator(path, max_bytes=10, keep=1)
    (path.parent / "daemon.log.1").mkdir()
    (path.parent / "daemon.log.1" / "in the way").touch()

    assert rotator.write("line 0001\n")
    assert rotator.write("line 0002\n")

    rotator.close()
    assert path.read_text() == "line 0001\nline 0002\n"


def test_a_file_moved_away_is_begun_anew(path: Path) -> None:
    """After `reopen` lines go into a new file of the name, for an outside log rotation."""
    rotator = LogRotator(path)
    assert rotator.write("before\n")
    path.rename(path.with_suffix(".old"))

    rotator.reopen()
    assert rotator.write("after\n")

    rotator.close()
    assert contents(path.parent) == {"daemon.old": "before\n", "daemon.log": "after\n"}


def test_text_that_is_no_utf8_is_written(path: Path) -> None:
    """Half characters of a broken terminal do not stop the line."""
    rotator = LogRotator(path)

    assert rotator.write("odd \udcff\n")

    rotator.close()
    assert path.read_bytes() == b"odd \\udcff\n"
