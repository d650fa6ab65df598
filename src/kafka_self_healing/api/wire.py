"""The local socket's protocol: one JSON object a line each way; where the socket lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_NAME = "control.sock"
MAX_REQUEST = 64 << 10
MAX_REPLY = 32 << 20
PATH_LIMIT = 100
"""Unix socket addresses hold about 107 bytes."""


@contextmanager
def address(state_dir: Path) -> Iterator[str]:
    """Give an address of the socket in `state_dir` that fits, however deep the folder lies."""
    path = state_dir / SOCKET_NAME
    if len(os.fsencode(path)) <= PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)
