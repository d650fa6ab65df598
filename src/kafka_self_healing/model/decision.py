"""What was decided and why: verdicts of guards, decisions, and requests for a closer look."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.recovery import RecoveryRequest

NEVER = "never"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guard says of one request.

    `blocking` verdicts refuse; `reported` ones permit but are told. `until` is the boot-clock
    second at which waiting alone may change it. `lifted_by` names what else does.
    """

    guard: str
    allowed: bool
    reason: str = ""
    text: str = ""
    reported: bool = False
    lifted_by: str = ""
    until: float | None = None

    @property
    def blocking(self) -> bool:
        """Whether it stands in the way."""
        return not self.allowed


class Answer(StrEnum):
    """The three decisions."""

    ACT = "act"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """Act, wait (until), or refuse: with all reasons. `request` is the act in question."""

    answer: Answer
    request: RecoveryRequest
    reasons: tuple[Verdict, ...] = ()
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the eyes for a fresh look at these nodes now."""

    nodes: tuple[str, ...]
    kinds: frozenset[Kind]
    why: str
