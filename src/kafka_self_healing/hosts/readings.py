"""Single readings of this machine, blocking: /proc, file locks, data directories, file systems.

A broken disk may block a reading for ever; `LocalHost` therefore runs those that touch a data
directory in threads of their own.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kafka_self_healing.hosts.data_dirs import FoundDir
from kafka_self_healing.hosts.host import ProcessReading
from kafka_self_healing.hosts.outputs import printable
from kafka_self_healing.model.evidence import DiskFact

IDENTITY_FILES: Final = ("meta.properties", "myid")
LOG_FOLDER: Final = "version-2"
"""Where a ZooKeeper keeps snapshots and its transaction log, which may be apart from the myid."""

LOCK_NAME: Final = ".lock"
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, len, pid
_IDENTITY_BYTES: Final = 4096
_ENTRIES: Final = 16
_HOLDING: Final = frozenset({"POSIX", "OFDLCK", "FLOCK"})
_READ_ONLY: Final = frozenset({"ro", "emergency_ro"})
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def read_process(pid: int, proc: Path = Path("/proc")) -> ProcessReading | None:
    """Return what the kernel says of `pid`; None: there is no such process."""
    folder = proc / str(pid)
    try:
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        status = (folder / "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 1 :].split()  # the name before it may hold anything
    return ProcessReading(
        pid=pid,
        state=fields[0],
        started_s=int(fields[19]) / os.sysconf("SC_CLK_TCK"),
        tracer_pid=_number_after("TracerPid:", status),
        read_bytes=_read_bytes(folder / "io"),
    )


def _number_after(key: str, text: str) -> int | None:
    for line in text.splitlines():
        if line.startswith(key):
            return int(line[len(key) :])
    return None


def _read_bytes(path: Path) -> int | None:
    try:
        return _number_after("read_bytes:", path.read_text(encoding="ascii"))
    except OSError:  # only the owner may read it, and the process may be gone by now
        return None


def is_local_address(host: str) -> bool:
    """Return whether `host` (a name or an address) is this machine. Raises OSError: no such name.

    Only an address of our own can be bound; that needs no list of interfaces.
    """
    for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue
            return True
    return False


def read_boot_id(proc: Path = Path("/proc")) -> str | None:
    """Return the id of this boot; None: not readable."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def lock_holder(directory: str, locks: Path = Path("/proc/locks")) -> int | None:
    """Return the pid that holds DIR/.lock; None: nobody. 0: somebody whose pid we cannot see.

    Kafka's FileLock is a POSIX record lock. The kernel is asked by F_GETLK, which takes nothing;
    the other kinds of locks, and a file that we may not open, are looked up in /proc/locks. Raises
    OSError when neither can tell.
    """
    path = Path(directory) / LOCK_NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        return _holder_listed(path.stat(), locks)
    try:
        asked = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(handle, fcntl.F_GETLK, asked))
        return int(pid) if kind != fcntl.F_UNLCK else _holder_listed(os.fstat(handle), locks)
    finally:
        os.close(handle)


def _holder_listed(file: os.stat_result, locks: Path) -> int | None:
    lines = locks.read_text(encoding="ascii").splitlines()
    return holder_by_inode(file.st_dev, file.st_ino, lines)


def holder_by_inode(
    device: int, inode: int, lines: Iterable[str], *, any_device: bool = False
) -> int | None:
    """Return the pid that holds a lock on a file by the lines of /proc/locks; None: nobody.

    `any_device`: on file systems whose files show another device than their locks (btrfs, overlay).
    """
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in lines:
        # "7: POSIX  ADVISORY  WRITE 4711 08:01:131099 0 EOF"; "->" marks one that only waits
        fields = line.split()
        if len(fields) < 6 or fields[1] not in _HOLDING:
            continue
        if fields[5] == wanted or (any_device and fields[5].rpartition(":")[2] == str(inode)):
            return int(fields[4]) if fields[4].isdecimal() else 0  # -1: of no process that we see
    return None


def read_identity(directory: str) -> FoundDir:
    """Read a data directory: the device that it is on, and whether it has its identity file.

    Entries and identity are read from the disk: an answer out of the page cache would hide that
    the disk is gone. Raises OSError (EIO: the disk is broken; ENOENT: there is no directory).
    """
    device = Path(directory).stat().st_dev
    with os.scandir(directory) as entries:
        for _, _ in zip(range(_ENTRIES), entries, strict=False):
            pass
    for name in IDENTITY_FILES:
        try:
            handle = os.open(Path(directory) / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.read(handle, _IDENTITY_BYTES)
        finally:
            os.close(handle)
        return FoundDir(device, has_identity=True)
    return FoundDir(device, has_identity=False, has_log=(Path(directory) / LOG_FOLDER).is_dir())


def read_disk(path: str, mounts: Path = Path("/proc/self/mountinfo")) -> DiskFact:
    """Return size and free space (bytes) of the file system of `path`. Raises OSError."""
    said = os.statvfs(path)
    read_only = bool(said.f_flag & os.ST_RDONLY)
    lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    return DiskFact(
        path=path,
        total=said.f_blocks * said.f_frsize,
        usable=said.f_bavail * said.f_frsize,
        read_only=read_only or bool(mounted_read_only(path, Path(path).stat().st_dev, lines)),
    )


def mounted_read_only(path: str, device: int, lines: Iterable[str]) -> bool | None:
    """Return whether the lines of /proc/PID/mountinfo call the mount of `path` read-only.

    Also one that ext4 made so after an error. None: no line is about this device.
    """
    wanted = f"{os.major(device)}:{os.minor(device)}"
    best, answer = -1, None
    for line in lines:
        # Such as: 36 35 98:0 / /data rw,noatime shared:1 - ext4 /dev/sdb1 rw,errors=remount-ro
        mount, dash, system = line.partition(" - ")
        fields = mount.split(" ")
        if not dash or len(fields) < 6 or fields[2] != wanted:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        options = set(system.split(" ")[-1].split(","))
        if inside and len(point) >= best:
            best, answer = len(point), bool(_READ_ONLY & (options | set(fields[5].split(","))))
        elif best < 0:
            answer = bool(_READ_ONLY & options)
    return answer


def read_tail(path: str, lines: int, limit: int) -> tuple[str, ...]:
    """Return the last `lines` lines of a text file, of its last `limit` bytes. Raises OSError."""
    with Path(path).open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - limit))
        text = printable(file.read(limit))
    return tuple(text.rstrip("\n").split("\n")[-lines:]) if text.strip() else ()


def read_uptime(proc: Path = Path("/proc")) -> float | None:
    """Return the seconds since the boot; None: not readable."""
    try:
        return float((proc / "uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return None
