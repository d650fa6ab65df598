"""The right to act on a cluster: an exclusive lock on a file of the state folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kafka_self_healing.errors import StorageError

LOCK_FILE = "lock"


class Lease:
    """Held from `acquire` to `release`, or until this process ends, however it ends.

    The kernel drops the lock with the last descriptor, so a SIGKILL leaves nothing to clean up.
    The file stays: to remove it would let two daemons lock two files of the same name.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path) -> Lease:
        """Lock `folder` for this process, or raise `StorageError` naming the pid that holds it."""
        path = folder / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"{path}: {error.strerror}: give this user the right to write there"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StorageError(
                f"{folder}: another daemon (pid {holder or 'unknown'}) works with this state "
                "folder: stop it first, or name another state folder"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StorageError(
                f"{path}: {error.strerror}: the state folder must lie on a file system with locks"
            ) from error
        _write_pid(path, descriptor)
        return cls(path, descriptor)

    def held(self) -> bool:
        """Whether we hold the lock, and the file at its path still is the one that we locked."""
        if self._descriptor is None:
            return False
        try:
            there = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(os.fstat(self._descriptor), there)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_pid(path: Path, descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    except OSError as error:
        os.close(descriptor)
        raise StorageError(f"{path}: {error.strerror}: make room for the state folder") from error
