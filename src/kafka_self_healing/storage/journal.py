"""The journal: what happened, in order, each entry bound to the one before it by its hash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from kafka_self_healing.errors import JournalCorrupt, StorageError
from kafka_self_healing.model.codec import CodecError, from_plain, to_plain
from kafka_self_healing.model.event import EVENT_TYPES, Event
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.storage import schema
from kafka_self_healing.storage.store import Store

PAGE = 500
"""Entries read in one query: no read transaction stays open while the caller works."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is read back: its number (from 1), what happened, its hash (hex)."""

    seq: int
    event: Event
    hash: str


class Journal:
    """The journal of one cluster in a store. Entries are only ever added.

    `crash_point` is called by name just before and just after each commit; tests end the process
    there.
    """

    def __init__(
        self,
        store: Store,
        cluster: str,
        *,
        crash_point: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._crash_point = crash_point

    def append(
        self,
        events: Sequence[Event],
        notifications: Sequence[Notification] = (),
        channels: Sequence[str] = (),
    ) -> int:
        """Write events, and notifications for each channel, in one transaction; all or nothing.

        Returns the number of the newest entry. When it returns, the entries survive a loss of
        power. A notification that a channel already has is not put there again. Raises
        `StorageError`: then nothing was written.
        """

        def queue(connection: sa.Connection) -> None:
            _queue(connection, notifications, channels)

        return self.commit(events, queue if notifications and channels else None)

    def commit(
        self,
        events: Sequence[Event],
        also: Callable[[sa.Connection], None] | None = None,
    ) -> int:
        """Write events and whatever `also` writes in one transaction (for the outbox)."""
        if not events and also is None:
            return self.head()
        with self._store.write() as connection:
            if also is not None:
                also(connection)
            seq = self._add(connection, events)
            self._crash_point("journal:before-commit")
        self._crash_point("journal:after-commit")
        return seq

    def head(self) -> int:
        """Return the number of the newest entry; 0 if there is none."""
        with self._store.read() as connection:
            return _read_head(connection)[0]

    def entries(self, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Yield this cluster's entries numbered above `after`, oldest first, at most `limit`.

        Raises `StorageError` at an entry of a newer version, `JournalCorrupt` at one that is no
        JSON. It does not check the chain; `verify` does.
        """
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self._page(after, size, self._cluster)
            for row in page:
                yield Entry(row.seq, _decode(row.seq, row.kind, row.payload), row.hash)
            if len(page) < size:
                return
            after = page[-1].seq
            left = None if left is None else left - size

    def verify(self) -> int:
        """Check the whole chain, of all clusters, and return the number of its entries.

        Raises `JournalCorrupt` naming the first entry that was altered, removed, put in, moved, or
        cut off at the end.
        """
        with self._store.read() as connection:
            head, head_hash = _read_head(connection)
        seq, last = 0, schema.GENESIS
        while seq < head and (page := self._page(seq, min(PAGE, head - seq), None)):
            for row in page:
                seq, last = _check(row, seq + 1, last), row.hash
        if seq < head:
            raise JournalCorrupt(f"journal entry {seq + 1}: removed, with all up to {head}")
        if last != head_hash:
            raise JournalCorrupt(f"journal entry {seq}: is not the one written last")
        self._check_ends()
        return seq

    def _check_ends(self) -> None:
        # The head is read again: the daemon may have written since, if this is another process.
        seq = schema.journal.c.seq
        ends = sa.select(sa.func.min(seq).label("first"), sa.func.max(seq).label("last"))
        with self._store.read() as connection:
            head = _read_head(connection)[0]
            row = connection.execute(ends).one()
        if (row.last or 0) > head:
            raise JournalCorrupt(f"journal entry {head + 1}: put in by something else")
        if row.first is not None and row.first < 1:
            raise JournalCorrupt(f"journal entry {row.first}: put in by something else")

    def _add(self, connection: sa.Connection, events: Sequence[Event]) -> int:
        seq, last = _read_head(connection)
        if not events:
            return seq
        rows: list[dict[str, Any]] = []
        for event in events:
            seq += 1
            row = {
                "seq": seq,
                "cluster": self._cluster,
                "kind": type(event).__name__,
                "utc": float(event.at.utc_s),
                "boot": float(event.at.mono_s),
                "payload": encode(event),
                "prev_hash": last,
            }
            last = row["hash"] = _digest(row)
            rows.append(row)
        connection.execute(_INSERT, rows)
        connection.execute(_MOVE_HEAD, {"new_seq": seq, "new_hash": last})
        return seq

    def _page(self, after: int, size: int, cluster: str | None) -> Sequence[sa.Row[Any]]:
        table = schema.journal
        query = sa.select(table).where(table.c.seq > after).order_by(table.c.seq).limit(size)
        if cluster is not None:
            query = query.where(table.c.cluster == cluster)
        with self._store.read() as connection:
            return connection.execute(query).all()


def clusters(store: Store) -> list[str]:
    """Return the names of the clusters that a store has entries of."""
    names = sa.select(schema.journal.c.cluster).distinct().order_by(schema.journal.c.cluster)
    with store.read() as connection:
        return list(connection.execute(names).scalars())


def encode(value: Event | Notification) -> str:
    """Return the JSON text that is stored: strict JSON, ASCII, the fields in their order."""
    return json.dumps(to_plain(value), separators=(",", ":"), allow_nan=False)


def _decode(seq: int, kind: str, payload: str) -> Event:
    cls = EVENT_TYPES.get(kind)
    newer = "it was written by a newer version: use that one, or name another state folder"
    if cls is None:
        raise StorageError(f"journal entry {seq}: this version knows no event {kind}: {newer}")
    try:
        return from_plain(cls, json.loads(payload))
    except json.JSONDecodeError as error:
        raise JournalCorrupt(f"journal entry {seq}: altered, it is no JSON: {error}") from error
    except CodecError as error:
        raise StorageError(
            f"journal entry {seq}: {kind} does not fit ({error}): {newer}"
        ) from error


_HASHED = ("seq", "cluster", "kind", "utc", "boot", "payload", "prev_hash")


def _digest(row: dict[str, Any]) -> str:
    # `default`: a value of a type that we never write (a blob) is an alteration, not a bug.
    canonical = json.dumps([row[name] for name in _HASHED], separators=(",", ":"), default=repr)
    return sha256(canonical.encode("ascii")).hexdigest()


def _check(row: sa.Row[Any], seq: int, last: str) -> int:
    """Check one row against its number and the hash before it; return its number."""
    if row.seq != seq:
        raise JournalCorrupt(f"journal entry {seq}: removed (the next one is {row.seq})")
    if row.prev_hash != last:
        raise JournalCorrupt(f"journal entry {seq}: does not follow the entry before it")
    if row.hash != _digest(row._asdict()):
        raise JournalCorrupt(f"journal entry {seq}: altered")
    return seq


def _read_head(connection: sa.Connection) -> tuple[int, str]:
    row = connection.execute(_HEAD).one_or_none()
    if row is None:
        raise JournalCorrupt("journal: its head was removed: restore the file from a backup")
    return row.seq, row.hash


def _queue(
    connection: sa.Connection, notifications: Sequence[Notification], channels: Sequence[str]
) -> None:
    rows = [
        {
            "channel": channel,
            "notification": notification.id,
            "payload": encode(notification),
            "created_utc": notification.notice.at.utc_s,
            "state": "due",
            "attempts": 0,
            "next_utc": notification.notice.at.utc_s,
            "error": "",
        }
        for notification in notifications
        for channel in channels
    ]
    connection.execute(_QUEUE, rows)


_HEAD = sa.select(schema.journal_head.c.seq, schema.journal_head.c.hash)
_INSERT = sa.insert(schema.journal)
_MOVE_HEAD = sa.update(schema.journal_head).values(
    seq=sa.bindparam("new_seq"), hash=sa.bindparam("new_hash")
)
_QUEUE = sqlite.insert(schema.outbox).on_conflict_do_nothing()
