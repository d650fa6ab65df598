"""What the delivery queue relies on, as tests that every outbox must pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.notification.fake_outbox import make_notification

from kafka_self_healing.errors import StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.notification.outbox_port import Outbox, Put

AT = Instant(100.0, 1_700_000_000.0)
NOW = AT.utc_s


class OutboxContract:
    """Subclasses give the fixtures `outbox` and `put`, which belong together and are empty."""

    def test_it_is_due_at_once(self, outbox: Outbox, put: Put) -> None:
        """What is put away for two channels is due for both, whole, as the first try."""
        letter = make_notification("N1", at=AT)

        put([letter], ["mail", "pager"])

        due = outbox.due(NOW, 10)
        assert [(d.channel, d.notification, d.attempt) for d in due] == [
            ("mail", letter, 1),
            ("pager", letter, 1),
        ]
        assert [d.created_utc for d in due] == [NOW, NOW]
        assert len({d.id for d in due}) == 2

    def test_once_for_each_channel(self, outbox: Outbox, put: Put) -> None:
        """The same id put away again does not wait a second time."""
        put([make_notification("N1", at=AT)], ["mail"])
        put([make_notification("N1", at=AT)], ["mail"])

        assert len(outbox.due(NOW, 10)) == 1

    def test_oldest_first_and_bounded(self, outbox: Outbox, put: Put) -> None:
        """`limit` is kept, and rows come in the order in which they were put."""
        put([make_notification(f"N{n}", at=AT) for n in range(5)], ["mail"])

        assert _names(outbox, NOW, 3) == ["N0", "N1", "N2"]

    def test_a_clock_set_back_puts_nothing_off(self, outbox: Outbox, put: Put) -> None:
        """What was put away by a clock an hour ahead is due; a minute ahead is waited for."""
        put([make_notification("N1", at=AT)], ["mail"])

        assert _names(outbox, NOW - 3600.0, 10) == ["N1"]
        assert _names(outbox, NOW - 60.0, 10) == []

    def test_reading_claims_nothing(self, outbox: Outbox, put: Put) -> None:
        """What was read and not recorded is read again."""
        put([make_notification("N1", at=AT)], ["mail"])

        assert outbox.due(NOW, 10) == outbox.due(NOW, 10)

    @pytest.mark.parametrize("outcome", ["delivered", "dead"])
    def test_settled_is_gone(self, outbox: Outbox, put: Put, outcome: str) -> None:
        """Delivered or dead, it is never due again."""
        put([make_notification("N1", at=AT)], ["mail"])
        (delivery,) = outbox.due(NOW, 10)

        outbox.record(delivery, outcome=outcome, at=AT, next_utc=None, error="")  # type: ignore[arg-type]

        assert _names(outbox, NOW + 1e6, 10) == []

    def test_a_retry_waits_and_keeps_its_place(self, outbox: Outbox, put: Put) -> None:
        """It is due from `next_utc` on, to the very value, before younger rows, with its number."""
        put([make_notification(f"N{n}", at=AT) for n in range(2)], ["mail"])
        first, _ = outbox.due(NOW, 10)
        again = NOW + 10.1

        outbox.record(first, outcome="retry", at=AT, next_utc=again, error="450 later")

        assert _names(outbox, again - 0.001, 10) == ["N1"]
        assert _names(outbox, again, 10) == ["N0", "N1"]
        assert outbox.due(again, 10)[0].attempt == 2
        assert outbox.due(again, 10)[0].id == first.id

    def test_a_try_is_recorded_once(self, outbox: Outbox, put: Put) -> None:
        """The second record of one try is an error and changes nothing."""
        put([make_notification("N1", at=AT)], ["mail"])
        (delivery,) = outbox.due(NOW, 10)
        outbox.record(delivery, outcome="retry", at=AT, next_utc=NOW + 5, error="later")

        with pytest.raises(StorageError):
            outbox.record(delivery, outcome="delivered", at=AT, next_utc=None, error="")

        assert _names(outbox, NOW + 5, 10) == ["N1"]


def _names(outbox: Outbox, now_utc: float, limit: int) -> Sequence[str]:
    return [d.notification.id for d in outbox.due(now_utc, limit)]
