"""The audit file: what was decided and done, one JSON line an entry, copied from the journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from kafka_self_healing.errors import JournalCorrupt, StorageError
from kafka_self_healing.model import event as words
from kafka_self_healing.model.codec import CodecError, from_plain, to_plain

BATCH = 200
"""Lines written with one sync."""

BLOCK = 65_536

CATEGORIES: dict[type[words.Event], str] = {
    words.DaemonStarted: "daemon",
    words.DaemonStopped: "daemon",
    words.ConfigLoaded: "daemon",
    words.OperatorSaid: "operator",
    words.IncidentChanged: "incident",
    words.IncidentClosed: "incident",
    words.StormChanged: "incident",
    words.Decided: "decision",
    words.LatchLifted: "decision",
    words.ApprovalAsked: "decision",
    words.PlanChanged: "decision",
    words.RequestChanged: "act",
    words.ActFinished: "act",
    words.Told: "delivery",
    words.DeliveryTried: "delivery",
}
"""What is audited. The other events (nodes seen, in-sync replicas) are memory, not deeds."""


class JournalEntry(Protocol):
    """An entry of the journal."""

    @property
    def seq(self) -> int:
        """Its number, from 1."""

    @property
    def event(self) -> words.Event:
        """What happened."""

    @property
    def hash(self) -> str:
        """Its hash, which binds it to all entries before it (hex)."""


class JournalReader(Protocol):
    """The journal as the audit reads it."""

    def entries(self, after: int = 0, limit: int | None = None) -> Iterator[JournalEntry]:
        """Yield entries numbered above `after`, oldest first."""


@dataclass(frozen=True, slots=True)
class AuditComparison:
    """`compared`: lines that agree with the journal; `behind`: entries not yet in the file."""

    compared: int
    behind: int


class AuditLogger:
    """Keeps an audit file level with a journal. One writer a file: the holder of the lease.

    Opening it repairs what a crash left (half a last line) and goes on after the last entry that
    the file holds. Raises `StorageError` if the file cannot be used or is of another journal.
    """

    def __init__(self, path: Path, journal: JournalReader) -> None:
        self._path = path
        self._journal = journal
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            self._size = _without_torn_line(self._descriptor)
            os.ftruncate(self._descriptor, self._size)
            self._seen = self._resume()
        except OSError as error:
            self.close()
            raise _failed(path, error) from error
        except StorageError:
            self.close()
            raise

    def catch_up(self) -> int:
        """Write what the journal has more than the file; return the number of new lines.

        Raises `StorageError` when the file cannot be written: the next call goes on where this one
        stopped, no line is lost or written twice.
        """
        written = 0
        lines: list[bytes] = []
        seen = self._seen
        for entry in self._journal.entries(after=self._seen):
            seen = entry.seq
            if type(entry.event) in CATEGORIES:
                lines.append(_line(entry))
            if len(lines) == BATCH:
                self._write(b"".join(lines), seen)
                written += len(lines)
                lines = []
        if lines:
            self._write(b"".join(lines), seen)
        self._seen = seen
        return written + len(lines)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes, seen: int) -> None:
        try:
            # A call that failed may have left a part behind.
            os.ftruncate(self._descriptor, self._size)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise _failed(self._path, error) from error
        self._size += len(data)
        self._seen = seen

    def _resume(self) -> int:
        line = _last_line(self._descriptor, self._size)
        if not line:
            return 0
        try:
            document = json.loads(line)
            seq, digest = int(document["seq"]), str(document["hash"])
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{self._path}: its last line is no audit entry: move the file aside, "
                "a new one is written from the journal"
            ) from error
        entry = next(iter(self._journal.entries(after=seq - 1, limit=1)), None)
        if entry is None or (entry.seq, entry.hash) != (seq, digest):
            raise StorageError(
                f"{self._path}: its last line (entry {seq}) is not in this journal: move the file "
                "aside, or give back the journal that it was written from"
            )
        return seq


def verify(path: Path, journal: JournalReader) -> AuditComparison:
    """Compare an audit file with the journal, line by line.

    Raises `JournalCorrupt` naming the first line that was altered, removed or put in, and
    `StorageError` if the file cannot be read. Half a last line counts as not yet written.
    """
    expected = (entry for entry in journal.entries() if type(entry.event) in CATEGORIES)
    compared = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                _compare(f"{path}:{number}", line, next(expected, None))
                compared = number
            else:
                return AuditComparison(compared, sum(1 for _ in expected))
    except OSError as error:
        raise _failed(path, error) from error
    return AuditComparison(compared, sum(1 for _ in expected))


def _document(entry: JournalEntry) -> dict[str, Any]:
    moment = datetime.fromtimestamp(entry.event.at.utc_s, UTC)
    return {
        "seq": entry.seq,
        "utc": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "category": CATEGORIES[type(entry.event)],
        "event": type(entry.event).__name__,
        "data": to_plain(entry.event),
        "hash": entry.hash,
    }


def _line(entry: JournalEntry) -> bytes:
    text = json.dumps(_document(entry), separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def _compare(where: str, line: bytes, entry: JournalEntry | None) -> None:
    try:
        found = json.loads(line)
        seq = int(found["seq"])
    except (ValueError, TypeError, KeyError) as error:
        raise JournalCorrupt(f"{where}: altered, it is no audit entry") from error
    if entry is None:
        raise JournalCorrupt(f"{where}: entry {seq} is not in the journal")
    if seq > entry.seq:
        raise JournalCorrupt(f"{where}: entry {entry.seq} was removed before this line")
    if seq < entry.seq:
        raise JournalCorrupt(f"{where}: entry {seq} does not belong here")
    expected = _document(entry)
    # Data is compared as an event: an older version wrote fewer fields of the same meaning.
    data, expected["data"] = found.pop("data", None), None
    try:
        same = from_plain(type(entry.event), data) == entry.event
    except CodecError:
        same = False
    if not same or {**found, "data": None} != expected:
        raise JournalCorrupt(f"{where}: entry {seq} was altered")


def _without_torn_line(descriptor: int) -> int:
    """Return the size up to and with the last newline."""
    size = os.fstat(descriptor).st_size
    return _newline_before(descriptor, size) + 1


def _last_line(descriptor: int, size: int) -> bytes:
    if size == 0:
        return b""
    begin = _newline_before(descriptor, size - 1) + 1
    return os.pread(descriptor, size - begin, begin)


def _newline_before(descriptor: int, end: int) -> int:
    """Return the place of the last newline before `end`; -1 if there is none."""
    while end > 0:
        begin = max(0, end - BLOCK)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found
        end = begin
    return -1


def _failed(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: {error.strerror}: look at the space, the rights and the health of its disk"
    )
