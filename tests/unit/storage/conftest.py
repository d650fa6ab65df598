"""A store in a fresh folder, events to write into it, and a hand that tampers with the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import DaemonStopped
from kafka_self_healing.model.notification import Notice, NoticeKind, Notification
from kafka_self_healing.storage import Journal, Store, open_store


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state folder that does not exist yet, with a name that needs quoting in a URI."""
    return tmp_path / "state ?#%20"


@pytest.fixture
def store(state_dir: Path) -> Iterator[Store]:
    """An open store."""
    opened = open_store(state_dir)
    yield opened
    opened.close()


@pytest.fixture
def journal(store: Store) -> Journal:
    """An empty journal."""
    return Journal(store, "lab")


@pytest.fixture
def event() -> Callable[[int], DaemonStopped]:
    """Makes the event number n, one second after the one before."""
    return lambda n: DaemonStopped(Instant(100.0 + n, 1_700_000_000.0 + n), f"reason {n}")


@pytest.fixture
def notification() -> Callable[[str], Notification]:
    """Makes a notification of the given id, put away at UTC second 1,000."""

    def make(name: str) -> Notification:
        notice = Notice(
            key=name,
            kind=NoticeKind.FAILURE,
            cluster="lab",
            incident="I1",
            condition="PROCESS_GONE",
            nodes=("1",),
            summary="node 1 is gone",
            story=("its process has ended",),
            at=Instant(10.0, 1_000.0),
        )
        return Notification(name, "node 1 is gone", "its process has ended\n", notice)

    return make


@pytest.fixture
def tamper(state_dir: Path, store: Store) -> Callable[..., None]:
    """Runs SQL on the file behind the journal's back, with its triggers taken away."""

    def run(*statements: str) -> None:
        connection = sqlite3.connect(store.path)
        for name in ("journal_no_update", "journal_no_delete", "journal_in_order"):
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return run
