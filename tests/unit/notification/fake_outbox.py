"""An outbox in memory that keeps the same promises as the stored one, and what tests feed it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kafka_self_healing.errors import StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.notification import (
    LONGEST_WAIT_S,
    Delivery,
    Notice,
    NoticeKind,
    Notification,
)
from kafka_self_healing.notification.outbox_port import Outcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of `record`."""

    notification: str
    channel: str
    outcome: Outcome
    attempt: int
    at: Instant
    next_utc: float | None
    error: str


class FakeOutbox:
    """Rows in a dictionary. `broken`: every call fails; `full`: only writing fails."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.broken = False
        self.full = False
        self.changed = asyncio.Event()
        self._rows: dict[int, Delivery] = {}
        self._next: dict[int, float] = {}
        self._known: set[tuple[str, str]] = set()

    def put(self, notifications: Sequence[Notification], channels: Sequence[str]) -> None:
        """Put each notification away for each channel, once."""
        self._require_whole()
        for notification in notifications:
            for channel in channels:
                if (channel, notification.id) in self._known:
                    continue
                self._known.add((channel, notification.id))
                row, created = len(self._known), notification.notice.at.utc_s
                self._rows[row] = Delivery(row, channel, notification, 1, created)
                self._next[row] = created

    def due(self, now_utc: float, limit: int) -> list[Delivery]:
        """Return what is due, oldest first."""
        self._require_whole()
        put_off = [r for r in self._rows if 0.0 < self._next[r] - now_utc <= LONGEST_WAIT_S]
        return [self._rows[r] for r in sorted(self._rows.keys() - put_off)][:limit]

    def record(
        self,
        delivery: Delivery,
        *,
        outcome: Outcome,
        at: Instant,
        next_utc: float | None,
        error: str,
    ) -> None:
        """Take the row off, or move it to its next try."""
        self._require_whole()
        if self.full:
            raise StorageError("the disk is full")
        if self._rows.get(delivery.id) != delivery:
            raise StorageError(f"row {delivery.id}: try {delivery.attempt} is not waiting")
        if outcome == "retry":
            assert next_utc is not None
            self._rows[delivery.id] = replace(delivery, attempt=delivery.attempt + 1)
            self._next[delivery.id] = next_utc
        else:
            del self._rows[delivery.id]
        self.recorded.append(
            Recorded(
                delivery.notification.id,
                delivery.channel,
                outcome,
                delivery.attempt,
                at,
                next_utc,
                error,
            )
        )
        self.changed.set()

    def outcomes(self, channel: str) -> list[tuple[str, str]]:
        """Return notification and outcome of each try of a channel."""
        return [(r.notification, r.outcome) for r in self.recorded if r.channel == channel]

    def delivered(self, channel: str) -> list[str]:
        """Return what was recorded as delivered by a channel, in that order."""
        return [name for name, outcome in self.outcomes(channel) if outcome == "delivered"]

    def _require_whole(self) -> None:
        if self.broken:
            raise StorageError("the disk has gone")


def inline(work: Callable[[], T]) -> Awaitable[T]:
    """Run the outbox's work at once, in the loop: the executor port of the tests."""

    async def call() -> T:
        return work()

    return call()


def make_notice(key: str = "N1", *, at: Instant, **changes: object) -> Notice:
    """Return a notice of a node that has gone."""
    notice = Notice(
        key=key,
        kind=NoticeKind.FAILURE,
        cluster="lab",
        incident="I1",
        condition="PROCESS_GONE",
        nodes=("2",),
        summary="node 2 is gone",
        story=("its process has ended", "its port refuses connections"),
        at=at,
    )
    return replace(notice, **changes)  # type: ignore[arg-type]


def make_notification(name: str, *, at: Instant) -> Notification:
    """Return a notification whose id is `name`."""
    return Notification(
        name, f"[lab] FAILURE {name}", f"the story of {name}\n", make_notice(name, at=at)
    )
