"""What is done: a request for one act, its classes and states, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.incident import Condition


class ActClass(StrEnum):
    """START of a process proven gone; RESTART of a running one; OTHER (scripts, playbooks)."""

    START = "START"
    RESTART = "RESTART"
    OTHER = "OTHER"


ACT_CLASS = {"service:start": ActClass.START, "service:restart": ActClass.RESTART}


def act_class(action: str) -> ActClass:
    """Return the class of an action by its name; what is not declared counts as a RESTART."""
    return ACT_CLASS.get(action, ActClass.RESTART)


class ActOutcome(StrEnum):
    """How an act ended. UNKNOWN is looked at, never repeated blindly."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class RequestState(StrEnum):
    """The life of a request. An act holds nothing once it is HEALED, FAILED or ABORTED."""

    PROPOSED = "proposed"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    VERIFYING = "verifying"
    HEALED = "healed"
    FAILED = "failed"
    ABORTED = "aborted"


class StopStyle(StrEnum):
    """How a RESTART ends the old process."""

    GRACEFUL = "graceful"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class RecoveryRequest:
    """One act on one node: which rung and attempt of the ladder, and where it stands.

    `limit_s`: time limit of each of its steps; `pid_before`, `invocation_before`: what the service
    manager said before it; `steps`: the steps of which the end is journalled ("stop", "start").
    """

    id: str
    incident: str
    node: str
    action: str
    condition: Condition
    rung: int
    attempt: int
    state: RequestState
    proposed: Instant
    limit_s: float = 180.0
    stop_style: StopStyle = StopStyle.GRACEFUL
    pid_before: int | None = None
    invocation_before: str | None = None
    began: Instant | None = None
    ended: Instant | None = None
    steps: tuple[str, ...] = ()
    begun_steps: tuple[str, ...] = ()
    reason: str = ""

    @property
    def act_class(self) -> ActClass:
        """The class in whose column of the guard matrix it is judged."""
        return act_class(self.action)


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """What came of an act: the command run (secrets redacted), its output (capped), its end."""

    request: str
    node: str
    action: str
    outcome: ActOutcome
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    started: float = 0.0
    ended: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class StepReport:
    """A step of an act began or ended ("stop", "start"); journalled before the next one begins."""

    request: str
    step: str
    ended: bool


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Attempts and backoff of one rung: `base_s` × 2ⁿ before attempt n + 2, at most `cap_s`."""

    attempts: int = 1
    base_s: float = 10.0
    cap_s: float = 300.0

    def backoff_s(self, done: int) -> float:
        """Return the pause before the next attempt after `done` attempts (seconds)."""
        return 0.0 if done <= 0 else min(self.cap_s, self.base_s * 2.0 ** (done - 1))
