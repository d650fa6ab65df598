"""The hands: acts take time, may fail, and may end without anybody knowing how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from kafka_self_healing.model.recovery import (
    ActClass,
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    StepReport,
    StopStyle,
)
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.world import World

NO_WAY_S = 2.0
"""After so long it is given up to reach a host that does not answer."""

Report = Callable[[int, StepReport | RecoveryResult], None]


@dataclass(slots=True)
class Grip:
    """How well acts go: shares of acts that fail, or end unknown; extra seconds."""

    fails: float = 0.0
    unknown: float = 0.0
    slow_s: float = 0.0


@dataclass(slots=True)
class Act:
    """One act under way. `life`: the daemon's life that began it; it hears no other's reports."""

    request: RecoveryRequest
    life: int
    began: float
    ended: float | None = None
    cut: bool = False


class Hands:
    """Carries acts out on the world and reports each step."""

    def __init__(self, world: World, rng: Random, report: Report) -> None:
        self.world = world
        self.rng = rng
        self.grip = Grip()
        self.acts: list[Act] = []
        self.on_begin: Callable[[RecoveryRequest], None] | None = None
        """Called with each act before it touches anything."""
        self._report = report

    @property
    def executing(self) -> list[Act]:
        """Acts that touch the world now, whoever began them."""
        return [act for act in self.acts if act.ended is None]

    def begin(self, request: RecoveryRequest, life: int) -> None:
        """Begin an act; its reports come later."""
        if self.on_begin is not None:
            self.on_begin(request)
        act = Act(request, life, self.world.now)
        self.acts.append(act)
        chance = self.rng.random()
        if self._node(act).dark or self._node(act).no_shell:
            self.world.agenda.after(NO_WAY_S, self._end, act, ActOutcome.UNKNOWN)
        elif chance < self.grip.fails:
            self.world.agenda.after(self.rng.uniform(0.1, 1.0), self._end, act, ActOutcome.FAILED)
        elif chance < self.grip.fails + self.grip.unknown:
            act.cut = True
            if self.rng.random() < 0.5:
                self._steps(act)
            else:
                self.world.agenda.after(2.0, self._end, act, ActOutcome.UNKNOWN)
        else:
            self._steps(act)

    def abandon(self, life: int, *, finish: bool) -> None:
        """The daemon of this life died; a step that has begun may still be carried out."""
        for act in self.executing:
            if act.life == life and not finish:
                act.ended = self.world.now

    def _steps(self, act: Act) -> None:
        if act.request.act_class is ActClass.RESTART:
            self._say(act, StepReport(act.request.id, "stop", ended=False))
            self.world.agenda.after(self.rng.uniform(0.05, 0.3), self._stop, act)
        else:
            self._say(act, StepReport(act.request.id, "start", ended=False))
            takes = self.rng.uniform(0.05, 0.4) + self.grip.slow_s
            self.world.agenda.after(takes, self._start, act)

    def _node(self, act: Act) -> Node:
        return self.world.nodes[act.request.node]

    def _stop(self, act: Act) -> None:
        if act.ended is not None:
            return
        node = self._node(act)
        if node.by_hand:  # its unit does not know this process
            self._end(act, ActOutcome.FAILED)
            return
        if act.request.stop_style is StopStyle.KILL:
            self.world.end(node, signal=9)
        else:
            self.world.stop(node, requested=True)
        self._await_stop(act, node.run)

    def _await_stop(self, act: Act, run: int) -> None:
        if act.ended is not None:
            return
        node = self._node(act)
        if node.alive and node.run == run:
            self.world.agenda.after(0.2, self._await_stop, act, run)
            return
        self._say(act, StepReport(act.request.id, "stop", ended=True))
        self._say(act, StepReport(act.request.id, "start", ended=False))
        self.world.agenda.after(self.rng.uniform(0.05, 0.4), self._start, act)

    def _start(self, act: Act) -> None:
        if act.ended is not None:
            return
        node = self._node(act)
        started = self.world.start(node, ours=True)
        done = started or (node.alive and not node.by_hand)
        self._say(act, StepReport(act.request.id, "start", ended=True))
        outcome = ActOutcome.DONE if done else ActOutcome.FAILED
        self.world.agenda.after(0.05, self._end, act, ActOutcome.UNKNOWN if act.cut else outcome)

    def _end(self, act: Act, outcome: ActOutcome) -> None:
        if act.ended is not None:
            return
        now = self.world.now
        act.ended = now
        request = act.request
        message = "" if outcome is ActOutcome.DONE else "the connection to its host broke"
        if outcome is ActOutcome.FAILED:
            message = "exit status 1"
        code = {ActOutcome.DONE: 0, ActOutcome.FAILED: 1, ActOutcome.UNKNOWN: None}[outcome]
        result = RecoveryResult(
            request.id, request.node, request.action, outcome, (request.action,), code,
            started=act.began, ended=now, message=message,
        )  # fmt: skip
        self._report(act.life, result)

    def _say(self, act: Act, report: StepReport) -> None:
        if not act.cut or report.step == "stop":
            self._report(act.life, report)
