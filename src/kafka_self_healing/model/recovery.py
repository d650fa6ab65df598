"""What is done: a request for one act, its classes and states, and its result."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.incident import Condition

ACTS_KEPT_S = 24 * 3600.0
"""How long an act is remembered, so that budgets and windows can count it (seconds)."""


class ActClass(StrEnum):
    """START of a process proven gone; RESTART of a running one; OTHER: it disturbs nothing.

    Scripts and playbooks say what they do (`Disruption`) and are of that class; undeclared, they
    count as a RESTART.
    """

    START = "START"
    RESTART = "RESTART"
    OTHER = "OTHER"


ACT_CLASS = {"service:start": ActClass.START, "service:restart": ActClass.RESTART}


class Disruption(StrEnum):
    """What a script or a playbook says that it does to its node: `disruptive` in its settings."""

    START = "start"
    RESTART = "restart"
    NONE = "none"


DECLARED = {
    Disruption.START: ActClass.START,
    Disruption.RESTART: ActClass.RESTART,
    Disruption.NONE: ActClass.OTHER,
}


def act_class(action: str, declared: Disruption | None = None) -> ActClass:
    """Return the class of an action; what is not known and not declared counts as a RESTART."""
    if action in ACT_CLASS or declared is None:
        return ACT_CLASS.get(action, ActClass.RESTART)
    return DECLARED[declared]


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
    manager said before it; `steps`: the steps of which the end is journalled ("stop", "start");
    `disruptive`: what its rung declares; `plan`: the approved plan of which it is a step;
    `well_since`: of a healed one, since when all was well again.
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
    disruptive: Disruption | None = None
    plan: str = ""
    well_since: Instant | None = None

    @property
    def act_class(self) -> ActClass:
        """The class in whose column of the guard matrix it is judged."""
        return act_class(self.action, self.disruptive)

    @property
    def undone(self) -> bool:
        """Whether it was called off, or never came to the node: it spends nothing."""
        return self.state is RequestState.ABORTED and not self.begun_steps


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
    """Attempts and backoff of one rung: `base_s` × 2ⁿ before attempt n + 2, at most `cap_s`.

    `jitter`: the share by which a pause may be longer, so that not all nodes are tried again at
    the same moment. It is no chance: the same seed, node and attempt give the same pause.
    """

    attempts: int = 1
    base_s: float = 10.0
    cap_s: float = 300.0
    jitter: float = 0.1

    def backoff_s(self, done: int, *, seed: int = 0, node: str = "") -> float:
        """Return the pause before the next attempt after `done` attempts (seconds)."""
        if done <= 0:
            return 0.0
        digest = hashlib.blake2b(f"{seed}/{node}/{done + 1}".encode(), digest_size=8).digest()
        share = int.from_bytes(digest) / 2.0**64
        pause = self.base_s * 2.0 ** min(done - 1, 60) * (1.0 + self.jitter * share)
        return min(self.cap_s, pause)
