"""`NotificationService`: the text of a notice. Pure, called in the journal's transaction."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.notification import Delivery, Notice, Notification
from kafka_self_healing.notification.template import (
    MAX_LINE,
    MAX_SUBJECT,
    NotificationTemplate,
    one_line,
)

UNDELIVERED = "undelivered-"
"""How the id of a notification begins that tells of another one's dead letter."""


class NotificationService:
    """Turns what the mind wants told into text with an id of its own."""

    def __init__(self, template: NotificationTemplate | None = None) -> None:
        self._template = template or NotificationTemplate()

    def compose(self, notice: Notice) -> Notification:
        """Return the notification of `notice`. The same notice gives the same id at any time."""
        return Notification(
            id=notification_id(notice),
            subject=self._template.subject(notice),
            body=self._template.body(notice),
            notice=notice,
        )


def notification_id(notice: Notice) -> str:
    """Return 32 hexadecimal digits made of cluster, incident, key, kind and time of the notice.

    The time tells one reminder from the next: an id that a channel has is never put there again.
    """
    at = f"{notice.at.utc_s:.3f}"
    parts = (notice.cluster, notice.incident, notice.key, notice.kind.value, at)
    # Each part with its length: no two different notices run together into one text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def undelivered(delivery: Delivery, error: str, at: Instant) -> Notification:
    """Return what the other channels are told when `delivery` is given up, the text with it."""
    letter = delivery.notification
    reason = one_line(error, MAX_LINE)
    return Notification(
        id=f"{UNDELIVERED}{delivery.channel}-{letter.id}",
        subject=one_line(f"(not delivered by {delivery.channel}) {letter.subject}", MAX_SUBJECT),
        body=(
            f"The channel {delivery.channel} did not take this notification; it was given up "
            f"after {delivery.attempt} {'try' if delivery.attempt == 1 else 'tries'}:\n"
            f"{reason}\n\nThe notification:\n\n{letter.subject}\n\n{letter.body}"
        ),
        notice=replace(letter.notice, at=at),
    )
