"""The shell of the mind in virtual time: inbox, turn, journal, dispatch; and its deaths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kafka_self_healing.healing.healer import Aborted, Input, LeaseChanged, Step, step
from kafka_self_healing.healing.memory import Memory, fold, fold_one
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import Answer
from kafka_self_healing.model.event import DaemonStarted, Event
from kafka_self_healing.model.evidence import CheckResult
from kafka_self_healing.model.incident import IncidentState
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import (
    RecoveryRequest,
    RecoveryResult,
    RequestState,
    StepReport,
)
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.world import World

BEGAN_UTC_S = 1.7e9
COMMIT_S = 0.01
"""From the end of a turn to the dispatch of its act: the journal's commit."""

CALM_S = 2.5
"""How long looks that change nothing may wait for the next turn: half an interval."""

WATCHFUL_S = 2.5
"""The same while something is open."""

WAITING_S = 0.25
"""The same while the mind waits for looks."""

LEAST_APART_S = 0.05
AWAITED = frozenset({RequestState.PROPOSED, RequestState.UNKNOWN})
SWITCHING = frozenset({Order.PAUSE, Order.MAINTENANCE})


class Witness(Protocol):
    """What the judge wants to hear of the shell."""

    def on_events(self, events: Sequence[Event]) -> None:
        """Hear what was journalled."""

    def on_act(self, request: RecoveryRequest) -> None:
        """Hear that an act touches the world now."""

    def on_step(self, size: int, memory: object) -> None:
        """Hear that a turn is over."""


class Shell:
    """Drives `step`, journals its events, dispatches its acts, and may die at any moment."""

    def __init__(self, world: World, policy: Policy, witness: Witness) -> None:
        self.world, self.policy, self.witness = world, policy, witness
        self.memory = Memory()
        self.view = View.cold(world.cluster)
        self.journal: list[Event] = []
        self.eyes: Eyes
        self.hands: Hands
        self.clock_offset = 0.0
        self.life = 0
        self.up = False
        self.asleep = False
        self.lease = True
        self.turns = 0
        self.dies_in_act: tuple[float, bool] | None = None
        self._inbox: list[Input] = []
        self._sleeps_until = 0.0
        self._next = float("inf")
        self._last = -1.0e9
        self._switched = 0

    @property
    def instant(self) -> Instant:
        """This moment on both clocks."""
        now = self.world.now
        return Instant(now, BEGAN_UTC_S + now + self.clock_offset)

    # --- life and death ----------------------------------------------------------------------

    def begin(self) -> None:
        """A daemon starts: memory is the journal's fold, the view is empty."""
        self.life += 1
        self.memory = fold(Memory(), self.journal)
        self.view = View.cold(self.world.cluster)
        kept = [said for said in self._inbox if isinstance(said, OperatorCommand)]
        self._inbox = [*kept] if self.lease else [LeaseChanged(held=False), *kept]
        self._record(DaemonStarted(self.instant, "sim", self.policy.mode.value, str(self.life)))
        self.up = self.eyes.open = True
        self.eyes.forget()
        self._turn_by(self.world.now + 0.1)

    def die(self, down_s: float, *, finish: bool) -> None:
        """SIGKILL: view and inbox are gone; an act under way goes on, or does not."""
        if not self.up:
            return
        self.up = self.eyes.open = False
        self.hands.abandon(self.life, finish=finish)
        self.life += 1
        self._next = float("inf")
        self.world.agenda.after(down_s, self.begin)

    def suspend(self, for_s: float) -> None:
        """The machine sleeps: no turns, no looks; what is in the inbox stays."""
        self.asleep, self.eyes.open = True, False
        self._sleeps_until = max(self._sleeps_until, self.world.now + for_s)
        self.world.agenda.after(for_s, self._wake_up)

    def _wake_up(self) -> None:
        if self.world.now < self._sleeps_until:
            return
        self.asleep, self.eyes.open = False, self.up
        self._next = float("inf")
        self._turn_by(self.world.now + 0.01)

    def _record(self, event: Event) -> None:
        self.journal.append(event)
        self.memory = fold_one(self.memory, event)
        self.witness.on_events([event])

    # --- inputs --------------------------------------------------------------------------------

    def see(self, results: list[CheckResult], news: bool) -> None:
        """Looks arrive; good ones that change nothing may wait a little."""
        if not self.up or self.asleep:
            return
        self._inbox.extend(results)
        if news:
            self._turn_by(max(self.world.now, self._last + LEAST_APART_S))
            return
        if self._waiting():
            self._turn_by(self._last + WAITING_S)
            return
        busy = self.memory.incidents or self.memory.requests
        self._turn_by(self._last + (WATCHFUL_S if busy else CALM_S))

    def _waiting(self) -> bool:
        """Whether the mind waits for looks: a suspicion, a proposal, an act of unknown end."""
        return any(i.state is IncidentState.SUSPECTED for i in self.memory.incidents.values()) or (
            any(r.state in AWAITED for r in self.memory.requests.values())
        )

    def report(self, life: int, said: StepReport | RecoveryResult) -> None:
        """The hands report. A step is journalled before the next one begins."""
        if life != self.life or not self.up:
            return
        self._inbox.append(said)
        if self.asleep:
            return
        self._turn()

    def hear(self, command: OperatorCommand) -> None:
        """An operator's command: in the store at once, in the mind at the next turn."""
        if command.order in SWITCHING:
            self._switched += 1
        self._inbox.append(command)
        if self.up and not self.asleep:
            self._turn_by(self.world.now + LEAST_APART_S)

    def hold_lease(self, *, held: bool) -> None:
        """The lease was lost or taken."""
        self.lease = held
        self._switched += 1
        self._inbox.append(LeaseChanged(held=held))
        if self.up and not self.asleep:
            self._turn_by(self.world.now + LEAST_APART_S)

    # --- turns -----------------------------------------------------------------------------------

    def _turn_by(self, when: float) -> None:
        if when < self._next:
            self._next = max(when, self.world.now)
            self.world.agenda.at(self._next, self._due, self._next)

    def _due(self, when: float) -> None:
        if when == self._next and self.up and not self.asleep:
            self._turn()

    def _turn(self) -> None:
        inputs, self._inbox = self._inbox, []
        self._next, self._last = float("inf"), self.world.now
        switched = self._switched
        taken = step(self.memory, self.view, inputs, self.policy, self.instant)
        self.memory, self.view = taken.memory, taken.view
        self.turns += 1
        if taken.events:
            self.journal.extend(taken.events)
            self.witness.on_events(taken.events)
        self.witness.on_step(len(inputs), self.memory)
        self._carry_out(taken, switched)
        self._turn_by(taken.wake_s)

    def _carry_out(self, taken: Step, switched: int) -> None:
        for decision in taken.decisions:
            if decision.answer is Answer.ACT:
                self.world.agenda.after(
                    COMMIT_S, self._dispatch, decision.request, self.life, switched
                )
        if taken.looks:
            self.eyes.reach(id_ for look in taken.looks if look.reach for id_ in look.nodes)
            wanted = dict.fromkeys(id_ for look in taken.looks for id_ in look.nodes)
            self.eyes.ask(tuple(id_ for id_ in wanted if id_ in self.world.nodes))

    def _dispatch(self, request: RecoveryRequest, life: int, switched: int) -> None:
        if life != self.life or not self.up:
            return
        if self.asleep:
            # What slept between the decision and the act is not done afterwards.
            self.world.agenda.after(1.0, self._dispatch, request, life, -1)
            return
        if switched != self._switched:
            self._inbox.append(Aborted(request.id, "paused, in maintenance or without lease"))
            self._turn()
            return
        self.witness.on_act(request)
        self.hands.begin(request, life)
        if self.dies_in_act is not None:
            (down_s, finish), self.dies_in_act = self.dies_in_act, None
            wait = self.world.rng.uniform(0.0, 0.6)
            self.world.agenda.after(wait, self._die_in, life, down_s, finish)

    def _die_in(self, life: int, down_s: float, finish: bool) -> None:
        if life == self.life:
            self.die(down_s, finish=finish)
