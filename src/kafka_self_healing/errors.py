"""The errors of this project. A bug is an assertion; no class is named like a built-in.

::

    KafkaSelfHealingError
    ├── ConfigError(problems)          before start or at reload; the old one stays in force
    ├── PluginError                    a plugin broke its contract; it is quarantined
    ├── CheckError(outcome)            a probe got no good answer; becomes a fact
    ├── RecoveryError                  becomes a RecoveryResult (failed or unknown)
    │   ├── ActionTimeout              the time limit of a step has passed
    │   └── ActionRefused              the act was not begun
    ├── DeliveryError(transient)       retried by the DeliveryQueue, or dead-lettered
    ├── StorageError                   no new act starts; the eyes go on
    │   └── JournalCorrupt             the hash chain is broken
    ├── ControlError                   the daemon cannot be asked, or refused a command
    └── ReplayError                    an input of `replay` is not what the schema says
"""

from __future__ import annotations

from dataclasses import dataclass


class KafkaSelfHealingError(Exception):
    """Root of all errors that this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where (line and column from 1), what, and what to do."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {where}{self.message}"


class ConfigError(KafkaSelfHealingError):
    """What the operator wrote cannot be used. All problems are reported at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class PluginError(KafkaSelfHealingError):
    """A plugin could not be loaded or broke its contract."""


class CheckError(KafkaSelfHealingError):
    """A probe got no good answer. `outcome` is a value of `model.evidence.Outcome`."""

    def __init__(self, outcome: str, message: str) -> None:
        self.outcome = outcome
        super().__init__(message)


class RecoveryError(KafkaSelfHealingError):
    """An act could not be carried out."""


class ActionTimeout(RecoveryError):
    """A step of an act did not end within its time limit."""


class ActionRefused(RecoveryError):
    """The act was not begun; nothing was changed."""


class DeliveryError(KafkaSelfHealingError):
    """A notification was not delivered. `transient` says whether a retry may succeed."""

    def __init__(self, message: str, *, transient: bool) -> None:
        self.transient = transient
        super().__init__(message)


class StorageError(KafkaSelfHealingError):
    """The store cannot be read or written."""


class JournalCorrupt(StorageError):
    """The journal's hash chain is broken: an entry was altered, removed or added."""


class ControlError(KafkaSelfHealingError):
    """The daemon cannot be asked, or refused a command."""


class ReplayError(KafkaSelfHealingError):
    """A line of a replay file is not what the schema says (file, line and path in the text)."""
