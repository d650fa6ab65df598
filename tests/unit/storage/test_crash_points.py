"""Killed at any point of a commit, the journal holds all of the batch or nothing of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import DaemonStopped
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.storage import Journal, Store, StoredOutbox, open_store

MakeEvent = Callable[[int], DaemonStopped]
MakeNotification = Callable[[str], Notification]
POINTS = [("journal:before-commit", 0), ("journal:after-commit", 2)]

DOOMED = """
import os, signal, sys
from pathlib import Path
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import DaemonStopped
from kafka_self_healing.storage import Journal, open_store

def crash(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

journal = Journal(open_store(Path(sys.argv[1])), "lab", crash_point=crash)
n = 0
while True:
    seq = journal.append([DaemonStopped(Instant(n, n), "first"), DaemonStopped(Instant(n, n), "b")])
    print(seq, flush=True)
    n += 1
"""


class Crash(BaseException):
    """Ends the thread of work as a crash would, in one process."""


def crash_at(point: str) -> Callable[[str], None]:
    """Return a crash point that raises at `point`."""

    def reach(name: str) -> None:
        if name == point:
            raise Crash(name)

    return reach


@pytest.mark.parametrize(("point", "kept"), POINTS)
def test_a_crash_around_an_append(
    store: Store,
    event: MakeEvent,
    notification: MakeNotification,
    point: str,
    kept: int,
) -> None:
    """Events and notifications are there together after the commit, and neither before it."""
    doomed = Journal(store, "lab", crash_point=crash_at(point))
    with pytest.raises(Crash):
        doomed.append([event(1), event(2)], [notification("N1")], ["mail"])

    journal = Journal(store, "lab")

    assert journal.head() == kept
    assert len(StoredOutbox(store, journal).due(2_000.0, 10)) == (1 if kept else 0)
    assert journal.verify() == kept
    assert journal.append([event(3)]) == kept + 1


@pytest.mark.parametrize(("point", "kept"), POINTS)
def test_a_crash_around_a_record(
    store: Store, notification: MakeNotification, point: str, kept: int
) -> None:
    """A delivery is marked in outbox and journal together, or waits on under the same id."""
    journal = Journal(store, "lab")
    journal.append([], [notification("N1")], ["mail"])
    outbox = StoredOutbox(store, journal)
    (delivery,) = outbox.due(2_000.0, 10)
    doomed = StoredOutbox(store, Journal(store, "lab", crash_point=crash_at(point)))

    with pytest.raises(Crash):
        doomed.record(delivery, outcome="delivered", at=Instant(1.0, 2.0), next_utc=None, error="")

    assert journal.head() == (1 if kept else 0)
    assert outbox.due(2_000.0, 10) == ([] if kept else [delivery])


def _doomed(state_dir: Path, point: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DOOMED, str(state_dir), point], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("point", "kept"), POINTS)
def test_a_process_killed_around_a_commit(state_dir: Path, point: str, kept: int) -> None:
    """After a SIGKILL the store opens, the chain fits, and the batch is whole or absent."""
    with _doomed(state_dir, point) as process:
        assert process.wait(20) == -signal.SIGKILL

    opened = open_store(state_dir)
    journal = Journal(opened, "lab")

    assert journal.verify() == kept
    assert len(list(journal.entries())) == kept
    opened.close()


def test_a_process_killed_anywhere(state_dir: Path) -> None:
    """What an append returned for is there after a SIGKILL at an arbitrary moment."""
    with _doomed(state_dir, "never") as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(30)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]

    opened = open_store(state_dir)
    kept = Journal(opened, "lab").verify()

    assert kept in (acknowledged[-1], acknowledged[-1] + 2)
    opened.close()
