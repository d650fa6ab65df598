"""Notifications wait in the outbox until a channel has them or gives them up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_self_healing.errors import StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import DaemonStopped, DeliveryTried
from kafka_self_healing.model.notification import Delivery, Notification
from kafka_self_healing.storage import Journal, Store, StoredOutbox
from kafka_self_healing.storage.lease import LOCK_FILE

MakeEvent = Callable[[int], DaemonStopped]
MakeNotification = Callable[[str], Notification]
AT = Instant(50.0, 1_040.0)


@pytest.fixture
def outbox(store: Store, journal: Journal) -> StoredOutbox:
    """An empty outbox."""
    return StoredOutbox(store, journal)


def test_each_channel_gets_a_row(
    journal: Journal, outbox: StoredOutbox, event: MakeEvent, notification: MakeNotification
) -> None:
    """A notification for two channels waits twice, ready at once, as its first try."""
    told = notification("N1")

    journal.append([event(1)], [told], ["mail", "pager"])

    assert outbox.due(1_000.0, 10) == [
        Delivery(1, "mail", told, 1, 1_000.0),
        Delivery(2, "pager", told, 1, 1_000.0),
    ]


def test_nothing_waits_without_a_channel(
    journal: Journal, outbox: StoredOutbox, event: MakeEvent, notification: MakeNotification
) -> None:
    """Without channels the events are written and nothing is queued."""
    assert journal.append([event(1)], [notification("N1")], []) == 1
    assert outbox.due(2_000.0, 10) == []


def test_a_notification_is_queued_once(
    journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """The same notification put away again does not wait a second time."""
    journal.append([], [notification("N1")], ["mail"])
    outbox.put([notification("N1"), notification("N2")], ["mail"])

    assert [d.notification.id for d in outbox.due(1_000.0, 10)] == ["N1", "N2"]


def test_due_is_bounded_and_in_order(
    journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """At most `limit`, the oldest first, and none before its time."""
    journal.append([], [notification(f"N{n}") for n in range(5)], ["mail"])

    assert [d.notification.id for d in outbox.due(1_000.0, 2)] == ["N0", "N1"]
    assert outbox.due(999.9, 10) == []


def test_a_delivered_one_does_not_wait(
    journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """A delivery is written to outbox and journal together."""
    journal.append([], [notification("N1")], ["mail"])
    (delivery,) = outbox.due(1_000.0, 10)

    outbox.record(delivery, outcome="delivered", at=AT, next_utc=None, error="")

    assert outbox.due(9_999.0, 10) == []
    assert [e.event for e in journal.entries()] == [
        DeliveryTried(AT, "N1", "mail", "delivered", 1, "")
    ]


def test_a_retry_waits_for_its_time(
    journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """A failed try comes back at its time, under its id, as the second."""
    journal.append([], [notification("N1")], ["mail"])
    (delivery,) = outbox.due(1_000.0, 10)

    outbox.record(delivery, outcome="retry", at=AT, next_utc=1_100.0, error="450 greylisted")

    assert outbox.due(1_099.0, 10) == []
    (again,) = outbox.due(1_100.0, 10)
    assert (again.attempt, again.notification.id, again.created_utc) == (2, "N1", 1_000.0)
    assert [e.event for e in journal.entries()] == [
        DeliveryTried(AT, "N1", "mail", "retry", 1, "450 greylisted")
    ]


def test_a_dead_one_is_given_up(
    journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """A dead letter waits no more, and the journal says why."""
    journal.append([], [notification("N1")], ["mail"])
    (delivery,) = outbox.due(1_000.0, 10)

    outbox.record(delivery, outcome="dead", at=AT, next_utc=None, error="550 no such user")

    assert outbox.due(9_999.0, 10) == []
    assert [e.event for e in journal.entries()] == [
        DeliveryTried(AT, "N1", "mail", "dead", 1, "550 no such user")
    ]


def test_a_try_is_recorded_once(
    journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """A second word about the same try is refused, and leaves no entry."""
    journal.append([], [notification("N1")], ["mail"])
    (delivery,) = outbox.due(1_000.0, 10)
    outbox.record(delivery, outcome="retry", at=AT, next_utc=1_100.0, error="451")

    with pytest.raises(StorageError, match="row 1: try 1 is not waiting"):
        outbox.record(delivery, outcome="delivered", at=AT, next_utc=None, error="")
    assert journal.head() == 1
    assert journal.verify() == 1


def test_without_the_lease_nothing_is_due(
    store: Store, journal: Journal, outbox: StoredOutbox, notification: MakeNotification
) -> None:
    """Two daemons would each send every mail: whoever lost the lease delivers no more."""
    journal.append([], [notification("N1")], ["mail"])
    (store.path.parent / LOCK_FILE).unlink()

    assert outbox.due(1_000.0, 10) == []
