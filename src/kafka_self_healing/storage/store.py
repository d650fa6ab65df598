"""The SQLite file behind journal and outbox: opened, checked, migrated, and its errors named."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from kafka_self_healing.errors import StorageError
from kafka_self_healing.storage.lease import Lease
from kafka_self_healing.storage.schema import REVISIONS

DATABASE_FILE = "journal.db"
BUSY_TIMEOUT_S = 5.0

_DAMAGED = (
    "the file is damaged: restore it from a backup, or move it and its -wal file aside and start "
    "in mode observe (a new journal knows no earlier acts and budgets)"
)
_ADVICE = {
    "SQLITE_BUSY": "another program holds the database: end it, then try again",
    "SQLITE_CANTOPEN": "give this user the right to read and write the state folder",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_FULL": "the disk is full: make room for the state folder",
    "SQLITE_IOERR": "the disk does not write: look at its space, quota and health",
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_PERM": "give this user the right to read and write the state folder",
    "SQLITE_READONLY": "it cannot be written: give this user the right, remount the disk writable",
}


class Store:
    """An open database file. One thread writes at a time; any thread may read.

    `lease` is None for a store that was opened read-only.
    """

    def __init__(self, path: Path, lease: Lease | None) -> None:
        self.path = path
        self.lease = lease
        self._engine = _engine(path, read_only=lease is None)
        self._identity = path.stat()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection in one transaction: committed at the end, rolled back on any error.

        Raises `StorageError` when the store is read-only, the lease or the file has gone, or the
        database cannot be written.
        """
        self._require_ours()
        with translated(self.path), self._engine.connect() as plain:
            connection = plain.execution_options(kafka_self_healing_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection in one read transaction; `StorageError` if it cannot be read."""
        with translated(self.path), self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the file and give the lease back; a second call does nothing."""
        self._engine.dispose()
        if self.lease is not None:
            self.lease.release()

    def _require_ours(self) -> None:
        if self.lease is None:
            raise StorageError(f"{self.path}: opened read-only")
        if not self.lease.held():
            raise StorageError(
                f"{self.path.parent}: the lease is lost (lock file removed or given back): "
                "restart the daemon"
            )
        try:
            there = self.path.stat()
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}: restart the daemon") from error
        # SQLite goes on writing to a file that was removed; the entries would be lost unseen.
        if not os.path.samestat(self._identity, there):
            raise StorageError(f"{self.path}: was replaced under us: restart the daemon")


def open_store(state_dir: Path, *, read_only: bool = False) -> Store:
    """Open the store of `state_dir`, made at need, and hold its lease unless `read_only`.

    Raises `StorageError`, saying what is wrong and what to do: folder not writable, another daemon
    at work, file damaged or of a newer version, disk full.
    """
    path = state_dir / DATABASE_FILE
    if read_only:
        if not path.is_file():
            raise StorageError(f"{path}: there is no journal: name the daemon's state folder")
        return _checked(Store(path, None))
    _make_folder(state_dir)
    lease = Lease.acquire(state_dir)
    try:
        _make_file(path)
        store = Store(path, lease)
    except BaseException:
        lease.release()
        raise
    return _checked(store)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of the database into `StorageError` with what to do about them."""
    try:
        yield
    except DBAPIError as error:
        raise _storage_error(path, error.orig) from error
    except sqlite3.Error as error:
        raise _storage_error(path, error) from error


def _storage_error(path: Path, error: BaseException | None) -> StorageError:
    name = str(getattr(error, "sqlite_errorname", ""))
    family = "_".join(name.split("_")[:2])
    advice = _ADVICE.get(family)
    return StorageError(f"{path}: {error}" + (f": {advice}" if advice else f" ({name})"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StorageError(f"{folder}: is not a folder: name another state folder") from None
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror}: make the folder, writable for this user"
        ) from error


def _make_file(path: Path) -> None:
    # SQLite would make it by the umask; its -wal and -shm files take over the mode of this one.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror}: give this user the right to read and write it"
        ) from error


def _engine(path: Path, *, read_only: bool) -> sa.Engine:
    mode = "ro" if read_only else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        # Without an isolation level the module begins nothing on its own: `_begin` does.
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if not read_only:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = sa.create_engine(
        "sqlite+pysqlite://", creator=connect, poolclass=sa.QueuePool, pool_size=2
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection) -> None:
    # A writer takes its lock at once: a read that is upgraded later may fail without waiting.
    write = connection.get_execution_options().get("kafka_self_healing_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _checked(store: Store) -> Store:
    try:
        _check_pages(store)
        _check_revision(store)
    except BaseException:
        store.close()
        raise
    return store


def _check_pages(store: Store) -> None:
    with store.read() as connection:
        said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if said != "ok":
        raise StorageError(f"{store.path}: {' '.join(str(said).split())}: {_DAMAGED}")


def _check_revision(store: Store) -> None:
    revision = _revision(store)
    if revision == REVISIONS[-1]:
        return
    if revision is not None and revision not in REVISIONS:
        raise StorageError(
            f"{store.path}: schema {revision} is newer than this version knows ({REVISIONS[-1]}): "
            "install the version that wrote it, or name another state folder"
        )
    if store.lease is None:
        raise StorageError(
            f"{store.path}: schema {revision or 'none'} is older than {REVISIONS[-1]}: "
            "start the daemon of this version once, it brings the file up to date"
        )
    with store.write() as connection:
        upgrade(connection)


def _revision(store: Store) -> str | None:
    with store.read() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        if not tables:
            return None
        if "alembic_version" not in tables:
            raise StorageError(
                f"{store.path}: is a database of another program: name another state folder"
            )
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Migrate up to `revision` in the transaction of `connection`."""
    # Alembic takes 100 ms to load, and a file of this version does not need it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


_MIGRATIONS = Path(__file__).parent / "migrations"
