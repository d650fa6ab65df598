"""The files that `${file:PATH}` names: read once a load, bounded, and noted if others may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_BYTES = 65_536
"""More than this is no password, token or host name."""

_OTHERS = stat.S_IRGRP | stat.S_IROTH


class Unfit(Exception):
    """A file that cannot be used; the text says why and what to do, and nothing of its content."""


class SecretFiles:
    """Reads files by their path; one without a leading `/` counts from `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str | Unfit] = {}
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each file that more than its owner may read."""
        return tuple(self._notes)

    def text(self, path: str) -> str:
        """Return what stands in a file, without the newline at its end. Raises Unfit."""
        if path not in self._known:
            try:
                self._known[path] = self._read(path)
            except Unfit as error:
                self._known[path] = error
        found = self._known[path]
        if isinstance(found, Unfit):
            raise found
        return found

    def _read(self, path: str) -> str:
        if not path or path.startswith("~") or "\0" in path:
            raise Unfit("`${file:` needs the whole path of a file (`~` is not expanded)")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            # Not blocking: a named pipe without a writer would keep us for ever.
            with os.fdopen(os.open(self._folder / path, flags), "rb") as stream:
                mode = os.fstat(stream.fileno()).st_mode
                data = stream.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else None
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise Unfit(f"the file {path} cannot be read: {reason}") from None
        if data is None:
            raise Unfit(f"{path} is not an ordinary file")
        if len(data) > MAX_BYTES:
            raise Unfit(f"the file {path} is larger than {MAX_BYTES} bytes: is it the right one?")
        if mode & _OTHERS:
            self._notes.append(
                f"{path} (mode {stat.S_IMODE(mode):04o}) may be read by others than its owner; "
                f"if it is a secret: chmod 600 {path}."
            )
        return self._decoded(path, data)

    @staticmethod
    def _decoded(path: str, data: bytes) -> str:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Unfit(f"the file {path} is not UTF-8 text") from None
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise Unfit(f"the file {path} is empty")
        return text
