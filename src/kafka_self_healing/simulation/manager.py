"""systemd's own healing, as measured: Restart=on-failure, RestartSec, and the start limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kafka_self_healing.simulation.agenda import Agenda
from kafka_self_healing.simulation.node import Node

CLEAN: Final = frozenset({0, 143})
"""Exit statuses that are no failure: the units of Kafka say SuccessExitStatus=143."""


@dataclass(frozen=True, slots=True)
class AutoRestart:
    """Restart=on-failure with RestartSec, StartLimitBurst and StartLimitIntervalSec (seconds)."""

    restart_s: float = 1.0
    burst: int = 5
    interval_s: float = 10.0


class Manager:
    """What a service manager does by itself. It sees ends of processes, and nothing else."""

    def __init__(
        self, agenda: Agenda, start: Callable[[Node], bool], changed: Callable[[Node], None]
    ) -> None:
        self.agenda, self._changed = agenda, changed
        self.auto: AutoRestart | None = None
        self.on_restart: Callable[[Node], None] | None = None
        """Called when a process is started by the manager itself."""
        self._start = start

    def limits(self, node: Node) -> bool:
        """Whether a start is refused now: too many of them lately."""
        if self.auto is None:
            return False
        since = self.agenda.now - self.auto.interval_s
        recent = [at for at in node.starts if at > since]
        return len(recent) >= self.auto.burst

    def started(self, node: Node) -> None:
        """A start was done, by whomever."""
        node.restarting = False
        if self.auto is not None:
            node.starts.append(self.agenda.now)

    def ended(self, node: Node) -> None:
        """A process of the unit has ended: start it again, if that was a failure."""
        failed = node.signal is not None or node.exit_status not in CLEAN
        if self.auto is None or not failed or node.stop_requested or node.masked:
            return
        node.restarting = True
        self.agenda.after(self.auto.restart_s, self._again, node, node.run)

    def _again(self, node: Node, run: int) -> None:
        if not node.restarting or node.run != run or node.alive:
            return
        node.restarting = False
        if node.stop_requested or not self._start(node):
            self._changed(node)  # the start limit: the unit has failed for good
            return
        node.restarts += 1
        node.by_manager = True
        if self.on_restart is not None:
            self.on_restart(node)
