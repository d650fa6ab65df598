"""Readings of this machine: processes, locks, data directories, addresses."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.hosts.readings import (
    _holder_by_inode,
    is_local_address,
    lock_holder,
    read_boot_id,
    read_process,
)
from kafka_self_healing.model.evidence import DataDirFact

HOLDER = (
    "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX)\n"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with its identity and a lock file that nobody holds."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "meta.properties").write_text("node.id=1\n")
    (folder / ".lock").touch()
    return folder


@pytest.fixture
def holder(data_dir: Path) -> Iterator[int]:
    """The pid of a process that holds the lock as Kafka does: a POSIX record lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process.pid
    process.communicate()


def test_process_is_read_and_a_missing_one_is_none() -> None:
    """State, start and tracer of a living process are read; a pid of nobody is None."""
    me = read_process(os.getpid())
    assert me is not None
    assert (me.state, me.tracer_pid) == ("R", 0)
    assert 0 < me.started_s <= SystemClock().now().mono_s
    assert me.read_bytes is None or me.read_bytes >= 0
    assert read_process(2**22 + 1) is None


def test_name_of_a_process_cannot_forge_its_state(tmp_path: Path) -> None:
    """A name with blanks and brackets does not move the fields behind it."""
    folder = tmp_path / "7"
    folder.mkdir()
    rest = " ".join(["T"] + ["0"] * 18 + ["100"] + ["0"] * 5)
    (folder / "stat").write_text(f"7 (a) R (b) {rest}\n")
    (folder / "status").write_text("Name:\ta\nTracerPid:\t42\n")
    found = read_process(7, tmp_path)
    assert found is not None
    assert (found.state, found.tracer_pid, found.read_bytes) == ("T", 42, None)
    assert found.started_s == 100 / os.sysconf("SC_CLK_TCK")


async def test_lock_is_held_while_its_process_lives(data_dir: Path, holder: int) -> None:
    """The holder is found, and the host says that a lock is held."""
    assert lock_holder(str(data_dir)) == holder
    assert await LocalHost(SystemClock()).lock_held([str(data_dir)], timeout_s=5.0) is True


async def test_lock_of_nobody_is_not_held(data_dir: Path, tmp_path: Path) -> None:
    """No holder, or no lock file at all, is False; no directories or an unreadable one is None."""
    host = LocalHost(SystemClock())
    assert lock_holder(str(data_dir)) is None
    assert await host.lock_held([str(data_dir), str(tmp_path)], timeout_s=5.0) is False
    assert await host.lock_held([], timeout_s=5.0) is None
    (tmp_path / "file").touch()
    assert await host.lock_held([str(tmp_path / "file")], timeout_s=5.0) is None


def test_table_of_locks_tells_holders_from_waiters(data_dir: Path) -> None:
    """By inode, a waiting process and another kind of lock are not taken for the holder."""
    file = (data_dir / ".lock").stat()
    where = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    waits = f"1: -> POSIX  ADVISORY  WRITE 11 {where} 0 EOF\n"
    other = f"2: FLOCK  ADVISORY  WRITE 12 {where} 0 EOF\n"
    holds = f"3: POSIX  ADVISORY  WRITE 13 {where} 0 EOF\n"
    assert _holder_by_inode(file, waits + other) is None
    assert _holder_by_inode(file, waits + other + holds) == 13


async def test_data_dir_is_on_the_device_first_seen(data_dir: Path) -> None:
    """A directory with its identity is remembered; gone, it is no longer on its device."""
    host, path = LocalHost(SystemClock()), str(data_dir)
    assert await host.data_dirs([path], timeout_s=5.0) == (DataDirFact(path, True, True, True),)
    (data_dir / "meta.properties").unlink()
    assert await host.data_dirs([path], timeout_s=5.0) == (DataDirFact(path, True, False, True),)
    shutil.rmtree(data_dir)
    assert await host.data_dirs([path], timeout_s=5.0) == (DataDirFact(path, False, False, False),)


async def test_other_device_is_seen(data_dir: Path) -> None:
    """The same path on another device than at first (an unmounted disk) is not the same device."""
    host, path = LocalHost(SystemClock()), str(data_dir)
    await host.data_dirs([path], timeout_s=5.0)
    host._devices[path] += 1
    (fact,) = await host.data_dirs([path], timeout_s=5.0)
    assert fact.same_device is False


async def test_directory_without_identity_is_never_the_first_seen(tmp_path: Path) -> None:
    """An empty mount point is not remembered as the right device."""
    (fact,) = await LocalHost(SystemClock()).data_dirs([str(tmp_path)], timeout_s=5.0)
    assert fact == DataDirFact(str(tmp_path), None, False, True)


async def test_blocked_reading_is_none_and_keeps_one_thread(tmp_path: Path) -> None:
    """A reading that a dead disk blocks stays unknown, and no second one is sent after it."""
    host = LocalHost(SystemClock())
    fifo = tmp_path / "blocks"
    os.mkfifo(fifo)
    calls: list[str] = []

    def read(path: str) -> str:
        calls.append(path)
        return Path(path).read_text()

    first = await host._off_loop(("disk", str(fifo)), read, 0.05)
    second = await host._off_loop(("disk", str(fifo)), read, 0.05)
    assert isinstance(first, OSError)
    assert isinstance(second, OSError)
    assert (first.errno, second.errno, len(calls)) == (errno.ETIMEDOUT, errno.EBUSY, 1)
    fifo.write_text("the disk is back")
    for _ in range(200):
        if not host._reading:
            break
        await asyncio.sleep(0.01)
    assert not host._reading


async def test_disks_have_sizes(tmp_path: Path) -> None:
    """Total and usable bytes of a file system are read; of a missing path nothing is claimed."""
    missing = str(tmp_path / "missing")
    found, none = await LocalHost(SystemClock()).disks([str(tmp_path), missing], timeout_s=5.0)
    assert found.total is not None
    assert found.usable is not None
    assert 0 <= found.usable <= found.total
    assert (none.path, none.total, none.read_only) == (missing, None, None)


async def test_boot_id_is_read() -> None:
    """The id of this boot is a text; where there is none it is None."""
    assert await LocalHost(SystemClock()).boot_id() == read_boot_id()
    assert read_boot_id(Path("/nonexistent")) is None


async def test_only_our_addresses_are_here() -> None:
    """Loopback is this machine; a documentation address and an unknown name are not."""
    host = LocalHost(SystemClock())
    assert is_local_address("127.0.0.1")
    assert await host.is_here("localhost", timeout_s=5.0)
    assert not await host.is_here("192.0.2.1", timeout_s=5.0)
    assert not await host.is_here("no.such.host.invalid", timeout_s=5.0)
