"""The audit file holds each deed of the journal once, in order, whatever happened before."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from kafka_self_healing.errors import JournalCorrupt, StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import (
    EVENT_TYPES,
    DaemonStopped,
    DeliveryTried,
    Event,
    NodesSeen,
    OperatorSaid,
)
from kafka_self_healing.observability import AuditComparison, AuditLogger, verify
from kafka_self_healing.observability.audit import CATEGORIES

AT = Instant(100.0, 1_700_000_000.5)


@dataclass(frozen=True, slots=True)
class FakeEntry:
    """An entry of the journal below."""

    seq: int
    event: Event
    hash: str


class FakeJournal:
    """A journal in memory."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._entries: list[FakeEntry] = []
        self.append(events)

    def append(self, events: Sequence[Event]) -> None:
        """Add entries, numbered on."""
        for event in events:
            seq = len(self._entries) + 1
            digest = sha256(f"{seq} {event!r}".encode()).hexdigest()
            self._entries.append(FakeEntry(seq, event, digest))

    def entries(self, after: int = 0, limit: int | None = None) -> Iterator[FakeEntry]:
        """Yield entries above `after`."""
        yield from self._entries[after : None if limit is None else after + limit]


def deed(n: int) -> Event:
    """Return an audited event."""
    return DaemonStopped(AT.after(n), f"reason {n}")


def silent(n: int) -> Event:
    """Return an event that is not audited."""
    return NodesSeen(AT.after(n), (str(n),))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The audit file."""
    return tmp_path / "audit.jsonl"


def write(path: Path, journal: FakeJournal) -> int:
    """Open the audit file, catch up, close it; return the new lines."""
    logger = AuditLogger(path, journal)
    try:
        return logger.catch_up()
    finally:
        logger.close()
        logger.close()


def sequence(path: Path) -> list[int]:
    """Return the numbers in the file."""
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_a_line_says_it_all(path: Path) -> None:
    """A line holds number, time, category, name, data and the journal's hash."""
    said = OperatorSaid(AT, OperatorCommand(Order.PAUSE, "ada", "update"))
    journal = FakeJournal([said])

    assert write(path, journal) == 1
    assert json.loads(path.read_text()) == {
        "seq": 1,
        "utc": "2023-11-14T22:13:20.500Z",
        "category": "operator",
        "event": "OperatorSaid",
        "data": to_plain(said),
        "hash": next(journal.entries()).hash,
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_event_is_a_deed_or_memory() -> None:
    """All event types have a category, but for the two that only remember what was seen."""
    unlisted = set(EVENT_TYPES.values()) - set(CATEGORIES)

    assert {cls.__name__ for cls in unlisted} == {"NodesSeen", "InSyncChanged"}


def test_only_deeds_are_written(path: Path) -> None:
    """What was merely seen stays in the journal."""
    assert write(path, FakeJournal([silent(1), deed(2), silent(3), deed(4), silent(5)])) == 2
    assert sequence(path) == [2, 4]


def test_it_follows_the_journal(path: Path) -> None:
    """Each call writes what is new; without news it writes nothing."""
    journal = FakeJournal([deed(1)])
    logger = AuditLogger(path, journal)

    assert logger.catch_up() == 1
    assert logger.catch_up() == 0
    journal.append([silent(2), deed(3)])
    assert logger.catch_up() == 1

    logger.close()
    assert sequence(path) == [1, 3]


def test_it_goes_on_after_a_restart(path: Path) -> None:
    """A new logger writes no line twice, and those that the crash kept from being written."""
    journal = FakeJournal([deed(1), deed(2)])
    write(path, journal)
    journal.append([deed(3)])

    assert write(path, journal) == 1
    assert write(path, journal) == 0
    assert sequence(path) == [1, 2, 3]


def test_many_lines_are_written_in_order(path: Path) -> None:
    """Batches follow one another without gap or double."""
    assert write(path, FakeJournal([deed(n) for n in range(1_001)])) == 1_001
    assert sequence(path) == list(range(1, 1_002))


@pytest.mark.parametrize("torn_at", [1, 40, -1])
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_half_a_line_is_repaired(path: Path, kept: int, torn_at: int) -> None:
    """A line cut off anywhere is taken away and written whole."""
    journal = FakeJournal([deed(1), deed(2), deed(3)])
    write(path, journal)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]) + lines[kept][:torn_at])

    assert write(path, journal) == 3 - kept
    assert path.read_bytes() == whole


def test_a_long_torn_line_is_repaired(path: Path) -> None:
    """The repair looks back further than one block, and so does the resuming."""
    long = replace(DaemonStopped(AT, ""), reason="x" * 200_000)
    journal = FakeJournal([long, long])
    write(path, journal)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1_000])

    assert write(path, journal) == 1
    assert path.read_bytes() == whole


def test_blocks_that_never_reached_the_disk_are_repaired(path: Path) -> None:
    """Zeros at the end, as a loss of power leaves them, go."""
    journal = FakeJournal([deed(1), deed(2)])
    write(path, journal)
    whole = path.read_bytes()
    first = whole.splitlines(keepends=True)[0]
    path.write_bytes(first + bytes(len(whole) - len(first)))

    assert write(path, journal) == 1
    assert path.read_bytes() == whole


def test_a_full_disk_is_outlived(path: Path) -> None:
    """What cannot be written is an error, leaves no half line, and is written later, once."""
    journal = FakeJournal([deed(1)])
    logger = AuditLogger(path, journal)
    logger.catch_up()
    before = path.read_bytes()
    journal.append([deed(2), deed(3)])

    with file_size_limit(len(before) + 300), pytest.raises(StorageError) as failed:
        logger.catch_up()

    assert "look at the space" in str(failed.value)
    assert path.read_bytes() == before
    assert logger.catch_up() == 2
    logger.close()
    assert sequence(path) == [1, 2, 3]


def test_a_file_of_another_journal_is_refused(path: Path) -> None:
    """A last line that this journal does not have is not continued."""
    write(path, FakeJournal([deed(1), deed(2)]))

    for other in (FakeJournal([deed(8), deed(9)]), FakeJournal([deed(1)])):
        with pytest.raises(StorageError, match=r"entry 2\) is not in this journal"):
            AuditLogger(path, other)
    assert sequence(path) == [1, 2]


@pytest.mark.parametrize("line", ["no json\n", "[]\n", '{"seq": "x", "hash": ""}\n', "{}\n"])
def test_a_foreign_file_is_refused(path: Path, line: str) -> None:
    """A file that is no audit file is left as it is."""
    path.write_text(line)

    with pytest.raises(StorageError, match="no audit entry: move the file aside"):
        AuditLogger(path, FakeJournal([deed(1)]))
    assert path.read_text() == line


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A place that does not exist is an error with its path."""
    with pytest.raises(StorageError, match=r"nowhere/audit\.jsonl: No such file"):
        AuditLogger(tmp_path / "nowhere" / "audit.jsonl", FakeJournal())
    with pytest.raises(StorageError, match=r"audit\.jsonl: No such file"):
        verify(tmp_path / "audit.jsonl", FakeJournal())


def test_an_untouched_file_agrees(path: Path) -> None:
    """All lines are compared; what is not yet written is counted."""
    journal = FakeJournal([deed(1), silent(2), deed(3)])
    write(path, journal)
    assert verify(path, journal) == AuditComparison(compared=2, behind=0)

    journal.append([deed(4), silent(5), deed(6)])
    assert verify(path, journal) == AuditComparison(compared=2, behind=2)


def test_half_a_line_counts_as_not_written(path: Path) -> None:
    """A crash is not an alteration."""
    journal = FakeJournal([deed(1), deed(2), deed(3)])
    write(path, journal)
    path.write_bytes(path.read_bytes()[:-5])

    assert verify(path, journal) == AuditComparison(compared=2, behind=1)


def test_a_line_of_an_older_version_agrees(path: Path) -> None:
    """A field that a later version added, at its default, is no alteration."""
    journal = FakeJournal([DeliveryTried(AT, "N1", "mail", "delivered", 1)])
    write(path, journal)
    document = json.loads(path.read_text())
    del document["data"]["error"]
    path.write_text(json.dumps(document) + "\n")

    assert verify(path, journal) == AuditComparison(compared=1, behind=0)


def set_field(name: str, value: object) -> Callable[[list[str]], list[str]]:
    """Return a change of one field of the third line."""

    def change(lines: list[str]) -> list[str]:
        return [*lines[:2], json.dumps({**json.loads(lines[2]), name: value}), *lines[3:]]

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_field("hash", "0" * 64), "jsonl:3: entry 3 was altered"),
        (set_field("utc", "2020-01-01T00:00:00.000Z"), "jsonl:3: entry 3 was altered"),
        (set_field("category", "act"), "jsonl:3: entry 3 was altered"),
        (set_field("event", "DaemonStarted"), "jsonl:3: entry 3 was altered"),
        (set_field("data", to_plain(deed(9))), "jsonl:3: entry 3 was altered"),
        (set_field("data", None), "jsonl:3: entry 3 was altered"),
        (set_field("note", "put in"), "jsonl:3: entry 3 was altered"),
        (lambda lines: [*lines[:2], "gone", *lines[3:]], "jsonl:3: altered, it is no audit entry"),
        (lambda lines: [*lines[:2], *lines[3:]], "jsonl:3: entry 3 was removed"),
        (lambda lines: lines[1:], "jsonl:1: entry 1 was removed"),
        (lambda lines: [*lines[:3], *lines[2:]], "jsonl:4: entry 3 does not belong here"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "jsonl:1: entry 1 was removed"),
        (lambda lines: [*lines, lines[4]], "jsonl:6: entry 5 is not in the journal"),
    ],
)
def test_a_changed_file_is_named(
    path: Path, change: Callable[[list[str]], list[str]], says: str
) -> None:
    """The first line that disagrees is named by file, line and entry."""
    journal = FakeJournal([deed(n) for n in range(1, 6)])
    write(path, journal)
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    with pytest.raises(JournalCorrupt) as found:
        verify(path, journal)
    assert says in str(found.value)


def test_a_journal_that_was_cut_off_is_found_by_the_file(path: Path) -> None:
    """Entries that were audited and are no more are missed, even if the journal's chain fits."""
    write(path, FakeJournal([deed(1), deed(2), deed(3)]))

    with pytest.raises(JournalCorrupt, match="jsonl:3: entry 3 is not in the journal"):
        verify(path, FakeJournal([deed(1), deed(2)]))
