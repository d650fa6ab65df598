"""A store opens or says what is wrong with it and what to do."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import kafka_self_healing.storage.store as store_module
from kafka_self_healing.errors import StorageError
from kafka_self_healing.model.event import DaemonStopped
from kafka_self_healing.storage import Journal, Lease, Store, open_store
from kafka_self_healing.storage.schema import REVISIONS, metadata

MakeEvent = Callable[[int], DaemonStopped]

HOLDER = """
import sys
from pathlib import Path
from kafka_self_healing.storage import open_store
store = open_store(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(state_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def closed_with(state_dir: Path, events: list[DaemonStopped]) -> Path:
    """Make a store of these events, close it, and return its file."""
    opened = open_store(state_dir)
    Journal(opened, "lab").append(events)
    opened.close()
    return opened.path


def test_folder_and_files_are_private(store: Store, journal: Journal, event: MakeEvent) -> None:
    """The folder is 0700 and each file in it 0600, whatever the umask."""
    journal.append([event(1)])

    folder = store.path.parent
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}

    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm", "lock"), 0o600)


def test_a_commit_is_durable(store: Store) -> None:
    """Writers run in WAL with a sync at each commit."""
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000


def test_a_second_daemon_is_refused(state_dir: Path) -> None:
    """The message names the pid of the daemon that holds the folder."""
    with holder(state_dir) as process, pytest.raises(StorageError) as refused:
        open_store(state_dir)

    assert f"another daemon (pid {process.pid})" in str(refused.value)


def test_a_second_store_in_this_process_is_refused(store: Store, state_dir: Path) -> None:
    """One process cannot open the folder twice either, and the first keeps its lease."""
    with pytest.raises(StorageError, match=f"pid {os.getpid()}"):
        open_store(state_dir)
    assert store.lease is not None
    assert store.lease.held()


def test_a_killed_daemon_leaves_the_lease(state_dir: Path) -> None:
    """After a SIGKILL the folder opens at once."""
    with holder(state_dir) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    opened = open_store(state_dir)

    assert opened.lease is not None
    assert opened.lease.held()
    opened.close()


def test_a_closed_store_gives_the_lease_back(state_dir: Path) -> None:
    """Close twice, open again: no lock is left."""
    first = open_store(state_dir)
    first.close()
    first.close()

    second = open_store(state_dir)
    second.close()

    assert first.lease is not None
    assert not first.lease.held()


def test_reading_beside_a_daemon(store: Store, journal: Journal, event: MakeEvent) -> None:
    """A read-only store sees what the daemon commits, needs no lease and cannot write."""
    journal.append([event(1)])
    beside = open_store(store.path.parent, read_only=True)
    reader = Journal(beside, "lab")
    journal.append([event(2)])

    assert [entry.seq for entry in reader.entries()] == [1, 2]
    with pytest.raises(StorageError, match="opened read-only"):
        reader.append([event(3)])
    with pytest.raises(StorageError, match="readonly database"), beside.read() as connection:
        connection.exec_driver_sql("DELETE FROM outbox")
    beside.close()


def test_reading_without_a_daemon(state_dir: Path, event: MakeEvent) -> None:
    """A read-only store opens when no daemon runs."""
    closed_with(state_dir, [event(1)])

    alone = open_store(state_dir, read_only=True)

    assert Journal(alone, "lab").verify() == 1
    alone.close()


def test_reading_makes_nothing(state_dir: Path) -> None:
    """A read-only opening of a folder without journal is an error and leaves no file."""
    with pytest.raises(StorageError, match="there is no journal"):
        open_store(state_dir, read_only=True)
    assert not state_dir.exists()


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """A state folder that is a file is refused by name."""
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="is not a folder"):
        open_store(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    """Missing rights are named with what to do."""
    tmp_path.chmod(0o500)

    with pytest.raises(StorageError, match=r"Permission denied.*writable"):
        open_store(tmp_path / "state")


def test_a_folder_that_cannot_be_made() -> None:
    """An impossible place for the folder is named with what to do."""
    with pytest.raises(StorageError, match="make the folder, writable for this user"):
        open_store(Path("/proc/kafka-self-healing"))


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database at all\n" * 400)


def damage_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [damage_header, damage_pages, cut_off])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_damaged_file_is_refused(
    state_dir: Path, event: MakeEvent, damage: Callable[[Path], None], *, read_only: bool
) -> None:
    """Damage is said with what to do; the file is left as it is and the lease given back."""
    path = closed_with(state_dir, [event(n) for n in range(200)])
    damage(path)
    before = path.read_bytes()

    for _ in range(2):
        with pytest.raises(StorageError, match=r"journal\.db: .*damaged: restore it from a backup"):
            open_store(state_dir, read_only=read_only)
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused(state_dir: Path, event: MakeEvent, *, read_only: bool) -> None:
    """A file of a newer version is named as such and left alone."""
    path = closed_with(state_dir, [event(1)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    connection.close()

    with pytest.raises(StorageError, match=r"schema 0999 is newer .*install the version"):
        open_store(state_dir, read_only=read_only)


def test_a_database_of_another_program_is_refused(state_dir: Path) -> None:
    """Foreign tables are not built upon."""
    state_dir.mkdir()
    with sqlite3.connect(state_dir / "journal.db") as connection:
        connection.execute("CREATE TABLE cookies (name TEXT)")
    connection.close()

    with pytest.raises(StorageError, match="database of another program"):
        open_store(state_dir)


def test_an_unfinished_file_is_finished(state_dir: Path, event: MakeEvent) -> None:
    """A crash between making the file and its tables leaves an empty file, which is completed."""
    state_dir.mkdir()
    (state_dir / "journal.db").touch(0o600)

    with pytest.raises(StorageError, match="schema none is older"):
        open_store(state_dir, read_only=True)
    opened = open_store(state_dir)

    assert Journal(opened, "lab").append([event(1)]) == 1
    opened.close()


def test_a_full_disk_is_named(store: Store, journal: Journal, event: MakeEvent) -> None:
    """A database that cannot grow says that the disk is full, and keeps what it has."""
    journal.append([event(1)])
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")

    with pytest.raises(StorageError, match="disk is full: make room"):
        journal.append([event(n) for n in range(2, 2_000)])
    assert journal.verify() == 1


def test_a_failing_disk_is_named_and_outlived(
    store: Store, journal: Journal, event: MakeEvent
) -> None:
    """What does not fit is not written at all; with room again the chain goes on."""
    journal.append([event(1)])
    wal = store.path.with_name("journal.db-wal").stat().st_size
    many = [event(n) for n in range(2, 2_000)]

    with file_size_limit(wal + 20_000), pytest.raises(StorageError) as refused:
        journal.append(many)

    assert "the disk does not write: look at its space" in str(refused.value)

    assert journal.head() == 1
    assert journal.append([event(2)]) == 2
    assert journal.verify() == 2


def test_a_store_that_is_written_by_others_is_busy(
    store: Store, journal: Journal, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign write lock ends in an error that says so, after the busy timeout."""
    foreign = sqlite3.connect(store.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")

    with pytest.raises(StorageError, match="another program holds the database"):
        journal.append([event(1)])
    foreign.close()


def test_a_removed_folder_stops_the_writing(
    store: Store, journal: Journal, event: MakeEvent
) -> None:
    """Once the lock file is gone another daemon could hold the folder: we write no more."""
    (store.path.parent / "lock").unlink()

    with pytest.raises(StorageError, match="lease is lost"):
        journal.append([event(1)])


def test_a_replaced_file_stops_the_writing(
    store: Store, journal: Journal, event: MakeEvent
) -> None:
    """Entries are not written into a file that nobody can find again."""
    content = store.path.read_bytes()
    store.path.unlink()

    with pytest.raises(StorageError, match="No such file"):
        journal.append([event(1)])
    store.path.write_bytes(content)
    with pytest.raises(StorageError, match="replaced under us"):
        journal.append([event(1)])


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("path_separator", "os")
    folder = Path(store_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    return ScriptDirectory.from_config(config)


def test_all_revisions_are_known() -> None:
    """The list of revisions in the code is that of the migration files, in their order."""
    found = [script.revision for script in _scripts().walk_revisions()]

    assert tuple(reversed(found)) == REVISIONS


def test_migrations_make_what_the_code_expects(store: Store) -> None:
    """A fresh store has exactly the tables, columns, indexes and keys of `schema`."""
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def _definitions(opened: Store) -> list[tuple[object, ...]]:
    with opened.read() as connection:
        rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2")
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgraded_store_is_like_a_fresh_one(
    tmp_path: Path, store: Store, event: MakeEvent, revision: str
) -> None:
    """A store of each older version, upgraded when it is opened, has the same definitions."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "journal.db").touch(0o600)
    first = Store(old / "journal.db", Lease.acquire(old))
    with first.write() as connection:
        store_module.upgrade(connection, revision)
    first.close()

    upgraded = open_store(old)

    assert _definitions(upgraded) == _definitions(store)
    assert Journal(upgraded, "lab").append([event(1)]) == 1
    upgraded.close()
