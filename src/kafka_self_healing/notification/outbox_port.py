"""What the delivery queue needs of a durable store; storage implements it, tests fake it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeVar

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.notification import Delivery, Notification

Outcome = Literal["delivered", "retry", "dead"]
"""How a try went: accepted by the channel, to be tried again, or given up."""

T = TypeVar("T")


class Outbox(Protocol):
    """Notifications that wait for a channel. Both methods block; `Run` calls them."""

    def due(self, now_utc: float, limit: int) -> Sequence[Delivery]:
        """Return at most `limit` deliveries to try at `now_utc` (UTC seconds), oldest first.

        What is due later than `LONGEST_WAIT_S` from now is due, too. Raises StorageError.
        """

    def record(
        self,
        delivery: Delivery,
        *,
        outcome: Outcome,
        at: Instant,
        next_utc: float | None,
        error: str,
    ) -> None:
        """Write down how a try went. `next_utc`: UTC seconds of the next try, for `retry`.

        Raises StorageError if it cannot be written, or if this try was recorded before.
        """


class Put(Protocol):
    """Puts notifications into the outbox, for each of the channels; once for each id."""

    def __call__(self, notifications: Sequence[Notification], channels: Sequence[str], /) -> object:
        """Write them down durably. Blocks; raises StorageError."""


class Run(Protocol):
    """Calls blocking work where it does not hold up the event loop (the store's thread)."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Call `work` and give its result."""
