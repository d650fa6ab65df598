"""The outbox: notifications that wait for a channel, durable until delivered or given up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import sqlalchemy as sa

from kafka_self_healing.errors import StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.codec import from_plain
from kafka_self_healing.model.event import DeliveryTried
from kafka_self_healing.model.notification import LONGEST_WAIT_S, Delivery, Notification
from kafka_self_healing.storage.journal import Journal
from kafka_self_healing.storage.schema import outbox
from kafka_self_healing.storage.store import Store

_STATE = {"delivered": "delivered", "retry": "due", "dead": "dead"}


class StoredOutbox:
    """The notifications that `Journal.append` put away, one row a channel.

    A crash between sending and `record` sends once more, under the same notification id.
    """

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    def put(self, notifications: Sequence[Notification], channels: Sequence[str]) -> None:
        """Put notifications away for each channel, without an event; each id once a channel."""
        self._journal.append((), notifications, channels)

    def due(self, now_utc: float, limit: int) -> list[Delivery]:
        """Return at most `limit` deliveries to try at `now_utc` (UTC seconds), oldest first.

        It claims nothing: what is being sent is returned again until it is recorded. Without the
        lease nothing is due: the daemon that took it delivers the same outbox.
        """
        if self._store.lease is not None and not self._store.lease.held():
            return []
        next_utc, farthest = outbox.c.next_utc, now_utc + LONGEST_WAIT_S
        query = (
            sa.select(outbox)
            .where(outbox.c.state == "due", sa.or_(next_utc <= now_utc, next_utc > farthest))
            .order_by(outbox.c.id)
            .limit(limit)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [
            Delivery(
                id=row.id,
                channel=row.channel,
                notification=from_plain(Notification, json.loads(row.payload)),
                attempt=row.attempts + 1,
                created_utc=row.created_utc,
            )
            for row in rows
        ]

    def record(
        self,
        delivery: Delivery,
        *,
        outcome: Literal["delivered", "retry", "dead"],
        at: Instant,
        next_utc: float | None,
        error: str,
    ) -> None:
        """Write down how a try went, in the outbox and in the journal, in one transaction.

        `next_utc`: UTC seconds of the next try; needed for `retry`. Raises `StorageError` if it
        cannot be written or this try was recorded before.
        """
        if outcome == "retry":
            assert next_utc is not None, "a retry needs a time"
        change = (
            sa.update(outbox)
            .where(
                outbox.c.id == delivery.id,
                outbox.c.state == "due",
                outbox.c.attempts == delivery.attempt - 1,
            )
            .values(
                state=_STATE[outcome],
                attempts=delivery.attempt,
                next_utc=at.utc_s if next_utc is None else next_utc,
                error=error,
            )
        )

        def mark(connection: sa.Connection) -> None:
            if connection.execute(change).rowcount != 1:
                raise StorageError(
                    f"outbox row {delivery.id}: try {delivery.attempt} is not waiting"
                )

        tried = DeliveryTried(
            at=at,
            notification=delivery.notification.id,
            channel=delivery.channel,
            outcome=outcome,
            attempt=delivery.attempt,
            error=error,
        )
        self._journal.commit([tried], mark)
