"""Readings of this machine: processes, locks, data directories, addresses."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import Asked, LocalHost, Question
from kafka_self_healing.hosts.data_dirs import FoundDir, KnownDevices
from kafka_self_healing.hosts.readings import (
    holder_by_inode,
    is_local_address,
    lock_holder,
    mounted_read_only,
    read_boot_id,
    read_process,
    read_uptime,
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


def test_lock_is_held_while_its_process_lives(data_dir: Path, holder: int) -> None:
    """The kernel says who holds it."""
    assert lock_holder(str(data_dir)) == holder


async def test_lock_of_nobody_is_not_held(data_dir: Path, tmp_path: Path) -> None:
    """No holder, or no lock file at all, is False; an unreadable one is None."""
    host = LocalHost(SystemClock())
    assert lock_holder(str(data_dir)) is None
    (tmp_path / "file").touch()
    for locks, held in (((str(data_dir), str(tmp_path)), False), ((str(tmp_path / "file"),), None)):
        assert (await host.look(Question(locks=locks), timeout_s=5.0)).lock_held is held


def test_table_of_locks_tells_holders_from_waiters(data_dir: Path) -> None:
    """By inode, a waiting process and a lease are not taken for the holder; any lock is."""
    file = (data_dir / ".lock").stat()
    where = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    waits = f"1: -> POSIX  ADVISORY  WRITE 11 {where} 0 EOF"
    lease = f"2: LEASE  ACTIVE    READ 12 {where} 0 EOF"
    other = f"3: POSIX  ADVISORY  WRITE 13 01:01:{file.st_ino} 0 EOF"

    def holder(*lines: str, any_device: bool = False) -> int | None:
        return holder_by_inode(file.st_dev, file.st_ino, lines, any_device=any_device)

    assert holder(waits, lease, other) is None
    assert holder(waits, lease, other, any_device=True) == 13
    for kind in ("POSIX", "OFDLCK", "FLOCK"):
        assert holder(waits, f"4: {kind}  ADVISORY  WRITE 14 {where} 0 EOF") == 14


def test_other_device_is_seen() -> None:
    """The same path on another device than at first (an unmounted disk) is not the same device."""
    devices = KnownDevices()
    assert devices.judge("/data", FoundDir(1, True)) == DataDirFact("/data", True, True, True)
    assert devices.judge("/data", FoundDir(2, False)) == DataDirFact("/data", False, False, True)


@pytest.mark.parametrize(
    ("number", "readable", "identity"),
    [
        (errno.EIO, False, None),
        (errno.EUCLEAN, False, None),
        (errno.ENOENT, False, False),
        (errno.EACCES, None, None),
        (errno.ETIMEDOUT, None, None),
    ],
)
def test_errors_of_a_directory_are_told_apart(
    number: int, readable: bool | None, identity: bool | None
) -> None:
    """A broken disk is not readable; what only keeps us from seeing leaves it unknown."""
    fact = KnownDevices().judge("/data", OSError(number, "?"))
    assert (fact.readable, fact.has_identity) == (readable, identity)


MOUNTS = (
    "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "21 20 8:17 / /data rw,relatime shared:2 - ext4 /dev/sdb1 ro,errors=remount-ro",
    "22 20 8:33 / /my\\040data ro,relatime - ext4 /dev/sdc1 rw",
    "23 20 8:33 / /other rw,relatime - ext4 /dev/sdc1 rw",
    "24 20 8:49 / /broken rw - ext4 /dev/sdd1 rw,emergency_ro",
)


@pytest.mark.parametrize(
    ("path", "minor", "read_only"),
    [
        ("/var/x", 1, False),
        ("/data/kafka", 17, True),
        ("/my data/kafka", 33, True),
        ("/other", 33, False),
        ("/a-link-to-broken", 49, True),
        ("/elsewhere", 99, None),
    ],
)
def test_mount_table_tells_read_only(path: str, minor: int, read_only: bool | None) -> None:
    """By mount or by file system, also after an error of ext4; an unknown device is unknown."""
    assert mounted_read_only(path, os.makedev(8, minor), MOUNTS) is read_only


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
    assert (first.errno, second.errno, len(calls)) == (errno.ETIMEDOUT, errno.ETIMEDOUT, 1)
    fifo.write_text("the disk is back")
    for _ in range(200):
        if not host._reading:
            break
        await asyncio.sleep(0.01)
    assert not host._reading


def test_boot_and_uptime_are_read() -> None:
    """The id of this boot is a text; where there is none it is None, as is the uptime."""
    assert read_boot_id()
    assert read_uptime()
    assert read_boot_id(Path("/nonexistent")) is None
    assert read_uptime(Path("/nonexistent")) is None


async def test_another_machine_is_not_read_here(data_dir: Path) -> None:
    """Of a node elsewhere nothing is looked up on this machine but what the commands say."""
    question = Question(
        commands=(Asked("status", ("echo", f"pid={os.getpid()}")),),
        pid_key="pid",
        locks=(str(data_dir),),
        data_dirs=(str(data_dir),),
        address="192.0.2.1",
    )
    reading = await LocalHost(SystemClock()).look(question, timeout_s=5.0)
    assert not reading.here
    assert reading.commands["status"].ok
    assert (reading.pid, reading.process) == (os.getpid(), None)
    assert (reading.lock_held, reading.data_dirs, reading.boot_id) == (None, None, None)


async def test_only_our_addresses_are_here() -> None:
    """Loopback is this machine; a documentation address and an unknown name are not."""
    host = LocalHost(SystemClock())
    assert is_local_address("127.0.0.1")
    assert await host.is_here("localhost", timeout_s=5.0)
    assert not await host.is_here("192.0.2.1", timeout_s=5.0)
    assert not await host.is_here("no.such.host.invalid", timeout_s=5.0)
