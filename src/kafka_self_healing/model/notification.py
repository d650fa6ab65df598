"""What people are told: a notice of the mind, and the notification made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.instant import Instant


class NoticeKind(StrEnum):
    """Why somebody is told.

    FAILURE: something new is wrong. REFUSAL: healing has been refused for a while. GAVE_UP: the
    attempts are used up, nothing is done until somebody acknowledges. ESCALATION: a person is
    needed for another reason. RECOVERY: it is over. REMINDER: it still lasts. DIGEST: once a day.
    """

    FAILURE = "failure"
    REFUSAL = "refusal"
    GAVE_UP = "gave-up"
    ESCALATION = "escalation"
    RECOVERY = "recovery"
    REMINDER = "reminder"
    DIGEST = "digest"


LONGEST_WAIT_S = 600.0
"""No try is put off for longer: what seems to be was written down by a clock that was set back."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the mind wants told, with the whole story so far, one sentence a line.

    `parts`: incidents that are told here too, a sentence each; `also`: their ids. `you`: the
    runbook. A digest has no incident and no condition.
    """

    key: str
    kind: NoticeKind
    cluster: str
    incident: str
    condition: str
    nodes: tuple[str, ...]
    summary: str
    story: tuple[str, ...]
    at: Instant
    parts: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    you: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A text ready for a channel. `id` is stable over retries (Message-ID)."""

    id: str
    subject: str
    body: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification on its way to one channel, as the outbox holds it.

    `id`: row of the outbox; `attempt`: the number of the try that is due now (from 1);
    `created_utc`: UTC seconds at which it was put into the outbox.
    """

    id: int
    channel: str
    notification: Notification
    attempt: int
    created_utc: float
