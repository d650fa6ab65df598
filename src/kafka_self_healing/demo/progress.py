"""How a download is shown: a bar on a terminal, a plain line at each tenth elsewhere."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

_MEBIBYTE: Final = 1024 * 1024


class Progress(Protocol):
    """Told of bytes as they arrive, from several threads."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def begin(self, title: str, total_bytes: int) -> None:
        """Say what is fetched and how many bytes it has."""

    def advance(self, number_of_bytes: int) -> None:
        """Say that so many more bytes are there (negative: they were thrown away)."""


class PlainProgress:
    """Writes one line at the beginning and at each tenth."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._title = ""
        self._total = 0
        self._done = 0
        self._tenth = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def begin(self, title: str, total_bytes: int) -> None:
        """Write the first line."""
        self._title, self._total = title, total_bytes
        self._stream.write(f"{title}: {total_bytes / _MEBIBYTE:.1f} MiB\n")

    def advance(self, number_of_bytes: int) -> None:
        """Write a line if another tenth is there."""
        with self._lock:
            self._done += number_of_bytes
            tenth = 10 * self._done // self._total if self._total else 10
            if tenth > self._tenth:
                self._tenth = tenth
                done_mib = self._done / _MEBIBYTE
                self._stream.write(f"{self._title}: {10 * tenth} % ({done_mib:.1f} MiB)\n")
                self._stream.flush()


class BarProgress:
    """A bar with speed and remaining time, drawn by rich."""

    def __init__(self) -> None:
        from rich import progress as rich_progress

        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.DownloadColumn(binary_units=True),
            rich_progress.TransferSpeedColumn(),
            rich_progress.TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, title: str, total_bytes: int) -> None:
        """Draw the empty bar."""
        self._bar.update(self._task, description=title, total=total_bytes, visible=True)

    def advance(self, number_of_bytes: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, number_of_bytes)


def progress_for(stream: TextIO) -> Progress:
    """Return the bar for a terminal, plain lines for anything else."""
    return BarProgress() if stream.isatty() else PlainProgress(stream)
