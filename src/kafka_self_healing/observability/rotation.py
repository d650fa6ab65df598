"""A log file that stays small, private, and never ends the program that writes it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


class LogRotator:
    """Writes whole lines to `path`; a full file becomes `path.1`, that one `path.2`, up to `keep`.

    `max_bytes`: a file grows to at most this, or to one line if that is longer. All files are 0600.
    Not thread-safe by itself: a logging handler brings its own lock.
    """

    def __init__(self, path: Path, *, max_bytes: int = 20_000_000, keep: int = 5) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor: int | None = None
        self._size = 0

    def write(self, line: str) -> bool:
        """Append `line`, with its newline. False: it is lost, whole (disk full, folder gone …)."""
        data = line.encode("utf-8", "backslashreplace")
        try:
            descriptor = self._ready(len(data))
            written = os.write(descriptor, data)
        except OSError:
            self._cut_back()
            return False
        if written < len(data):
            # A disk that fills up takes a part; half a line would spoil the file for machines.
            self._cut_back()
            return False
        self._size += written
        return True

    def reopen(self) -> None:
        """Go on in a new file if another program has moved the old one away."""
        self.close()

    def close(self) -> None:
        """Close the file; the next `write` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _ready(self, more: int) -> int:
        descriptor = self._opened()
        if self._size and self._size + more > self._max_bytes:
            # A rename that fails leaves us with the old file, larger than wished but written.
            with suppress(OSError):
                self._rotate()
                self.close()
            descriptor = self._opened()
        return descriptor

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            found = os.fstat(self._descriptor)
            self._size = found.st_size
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                os.fchmod(self._descriptor, 0o600)
        return self._descriptor

    def _rotate(self) -> None:
        if self._keep < 1:
            self._path.unlink()
            return
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _cut_back(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
