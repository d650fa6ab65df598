"""Where the output of a child goes: a pipe that is read to its end, or a file without a name."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from typing import IO, Final

OUTPUT_LIMIT_BYTES: Final = 64 * 1024
"""How much of each of stdout and stderr is kept; the rest is read and thrown away."""

_CHUNK: Final = 65536


def printable(data: bytes) -> str:
    """Return `data` as text in which no control character and no broken byte is left.

    New lines and tabs stay; everything else below a space, DEL and bytes that are no UTF-8 become
    `\\xNN`, so that terminal escapes cannot act in a log or a mail.
    """
    text = data.decode("utf-8", errors="backslashreplace").replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Pipe:
    """Reads one output to its end and keeps its beginning. `hear` gets every chunk, kept or not."""

    def __init__(
        self,
        *,
        keep: int = OUTPUT_LIMIT_BYTES,
        hear: Callable[[bytes], None] = lambda _chunk: None,
    ) -> None:
        self._read_end, self.write_end = os.pipe()
        self._keep, self._hear = keep, hear
        self.data = bytearray()
        self.truncated = False
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self._readable)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return
        room = self._keep - len(self.data)
        self.data += chunk[:room]
        self.truncated = self.truncated or len(chunk) > room
        if not chunk:
            self._loop.remove_reader(self._read_end)
            self.ended.set()
        self._hear(chunk)

    def close(self) -> None:
        """Stop reading and give the descriptor back."""
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)


class File:
    """An output kept in a file without a name: its writer may outlive us without being harmed."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="kheal-")  # noqa: SIM115 - see close
        self.write_end = os.dup(self._file.fileno())
        self.ended = asyncio.Event()
        self.ended.set()

    @property
    def data(self) -> bytes:
        """The beginning of what was written so far."""
        return os.pread(self._file.fileno(), OUTPUT_LIMIT_BYTES, 0)

    @property
    def truncated(self) -> bool:
        """Whether more was written than is kept."""
        return os.fstat(self._file.fileno()).st_size > OUTPUT_LIMIT_BYTES

    def close(self) -> None:
        """Give our descriptor back."""
        self._file.close()
