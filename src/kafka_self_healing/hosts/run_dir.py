"""`RunDirectory`: a private folder for the sockets of ssh connections, made when it is needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

SOCKET_PATH_BYTES: Final = 104
"""The longest path of a Unix socket that every kernel takes (sun_path)."""

_NAME_BYTES: Final = 40
"""What is added to the folder: a name of ours, and 17 characters while ssh makes the socket."""


class RunDirectory:
    """Mode 0700, with a name that nobody can guess, and so short that a socket in it has room.

    `base` None: the unit's own runtime directory, the user's, or the temporary one.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = base
        self._path: Path | None = None

    def path(self) -> Path:
        """Return the folder; it is there. Raises OSError."""
        if self._path is None or not self._path.is_dir():  # a cleaner of old files may have come
            self._path = Path(tempfile.mkdtemp(prefix="kheal-", dir=self._choose()))
        return self._path

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None

    def _choose(self) -> Path:
        given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
        own = [self._base, Path(given) if given else None]
        user = os.environ.get("XDG_RUNTIME_DIR", "")
        for base in (*own, Path(user) if user else None):
            if base is None or not base.is_dir() or not os.access(base, os.W_OK):
                continue
            if len(os.fsencode(base)) + len("/kheal-12345678/") + _NAME_BYTES <= SOCKET_PATH_BYTES:
                return base
        return Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder; TMPDIR may be too long
