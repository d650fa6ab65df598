"""Entries come back as they were written, all or none, and cannot be changed by ordinary SQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kafka_self_healing.errors import JournalCorrupt, StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Answer, Verdict
from kafka_self_healing.model.event import EVENT_TYPES, DaemonStopped, Decided, Event
from kafka_self_healing.storage import Journal, Store, open_store

MakeEvent = Callable[[int], DaemonStopped]
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module", autouse=True)
def _finite_floats() -> None:
    """Clocks and durations are finite; strict JSON has no other numbers."""
    st.register_type_strategy(float, FINITE)
    st.register_type_strategy(Instant, st.builds(Instant, FINITE, FINITE))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_event_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Any event of any type is read back equal to what was appended."""
    event: Event = data.draw(st.from_type(EVENT_TYPES[name]))
    opened = open_store(tmp_path_factory.getbasetemp() / f"journal-{name}")
    journal = Journal(opened, "lab")

    seq = journal.append([event])

    assert [entry.event for entry in journal.entries(after=seq - 1)] == [event]
    opened.close()


def test_text_of_a_broken_terminal_comes_back(journal: Journal) -> None:
    """Output that is no UTF-8 and holds NULs is kept exactly."""
    event = DaemonStopped(Instant(1.0, 2.0), "\udcff \x00 \x1b[0m ≠ 🦆")

    journal.append([event])

    assert next(journal.entries()).event == event


def test_numbers_start_at_one_and_have_no_gaps(journal: Journal, event: MakeEvent) -> None:
    """Entries are numbered in their order, over appends of any size."""
    assert journal.append([event(1), event(2)]) == 2
    assert journal.append([event(3)]) == 3
    assert [(e.seq, e.event) for e in journal.entries()] == [(n, event(n)) for n in (1, 2, 3)]


def test_nothing_to_append_writes_nothing(journal: Journal, event: MakeEvent) -> None:
    """An empty append returns the newest number and makes no entry."""
    journal.append([event(1)])

    assert journal.append([]) == 1
    assert journal.head() == 1


def test_reading_starts_and_ends_where_asked(journal: Journal, event: MakeEvent) -> None:
    """`after` and `limit` cut out a part, also across pages."""
    journal.append([event(n) for n in range(1, 1_202)])

    assert [e.seq for e in journal.entries(after=1_199)] == [1_200, 1_201]
    assert [e.seq for e in journal.entries(after=3, limit=2)] == [4, 5]
    assert [e.seq for e in journal.entries(limit=1_000)] == list(range(1, 1_001))
    assert list(journal.entries(limit=0)) == []
    assert len(list(journal.entries())) == 1_201


def test_writing_goes_on_while_entries_are_read(journal: Journal, event: MakeEvent) -> None:
    """A reader between two entries does not hold up the writer."""
    journal.append([event(1), event(2)])
    reading = journal.entries()
    first = next(reading)

    journal.append([event(3)])

    assert [first.seq, *(entry.seq for entry in reading)] == [1, 2]


def test_a_journal_reads_its_own_cluster(store: Store, journal: Journal, event: MakeEvent) -> None:
    """Entries of another cluster in the same store are not folded, but stay in the chain."""
    other = Journal(store, "other")
    journal.append([event(1)])
    other.append([event(2)])
    journal.append([event(3)])

    assert [entry.seq for entry in journal.entries()] == [1, 3]
    assert [entry.seq for entry in other.entries()] == [2]
    assert journal.verify() == 3


def test_a_number_that_json_lacks_is_refused_whole(journal: Journal, event: MakeEvent) -> None:
    """An event with an infinite number is a bug: nothing of its batch is written."""
    bad = Decided(
        at=Instant(1.0, 1.0),
        incident="I1",
        node="1",
        action="service:start",
        condition="PROCESS_GONE",
        rung=0,
        attempt=1,
        answer=Answer.WAIT,
        reasons=(Verdict("warm_up", allowed=False),),
        until=float("inf"),
    )

    with pytest.raises(ValueError, match="JSON compliant"):
        journal.append([event(1), bad])
    assert journal.head() == 0


COPY = "SELECT {}, cluster, kind, utc, boot, '{{}}', prev_hash, hash FROM journal WHERE seq = 1"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET payload = '{}' WHERE seq = 1",
        "DELETE FROM journal WHERE seq = 2",
        f"INSERT OR REPLACE INTO journal {COPY.format(1)}",
        f"INSERT INTO journal {COPY.format(9)}",
    ],
)
def test_sql_cannot_change_entries(
    store: Store, journal: Journal, event: MakeEvent, statement: str
) -> None:
    """The database itself refuses to alter, remove, replace or misplace an entry."""
    journal.append([event(1), event(2)])

    with pytest.raises(StorageError, match="append-only"), store.write() as connection:
        connection.exec_driver_sql(statement)
    assert journal.verify() == 2


def test_an_event_of_a_newer_version_is_named(
    journal: Journal, event: MakeEvent, tamper: Callable[..., None]
) -> None:
    """An unknown kind ends the reading with its number, its name and what to do."""
    journal.append([event(1), event(2)])
    tamper("UPDATE journal SET kind = 'BrokerReplaced' WHERE seq = 2")

    with pytest.raises(StorageError, match=r"entry 2: .*BrokerReplaced: .*newer version"):
        list(journal.entries())


def test_a_field_of_a_newer_version_is_named(
    journal: Journal, event: MakeEvent, tamper: Callable[..., None]
) -> None:
    """An unknown field of a known kind is an error too, never dropped."""
    journal.append([event(1)])
    tamper("""UPDATE journal SET payload = '{"at":[1,2],"reason":"x","mood":"good"}'""")

    with pytest.raises(StorageError, match=r"entry 1: DaemonStopped .*mood.*newer version"):
        list(journal.entries())


def test_an_entry_that_is_no_json_is_corrupt(
    journal: Journal, event: MakeEvent, tamper: Callable[..., None]
) -> None:
    """Garbage in place of an event is called altered, with its number."""
    journal.append([event(1)])
    tamper("UPDATE journal SET payload = '{\"at\":[1'")

    with pytest.raises(JournalCorrupt, match="entry 1: altered"):
        list(journal.entries())


def test_entries_survive_a_new_opening(state_dir: Path, event: MakeEvent) -> None:
    """What was written is there after closing, and the chain goes on from it."""
    first = open_store(state_dir)
    Journal(first, "lab").append([event(1)])
    first.close()

    second = open_store(state_dir)
    journal = Journal(second, "lab")
    journal.append([event(2)])

    assert [entry.event for entry in journal.entries()] == [event(1), event(2)]
    assert journal.verify() == 2
    second.close()
