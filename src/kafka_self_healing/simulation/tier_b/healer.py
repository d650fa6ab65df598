"""The healer's fate: its processes begin, die, sleep, and take the lease from each other."""

from __future__ import annotations

import asyncio
from typing import Final

from kafka_self_healing.errors import ControlError, StorageError
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import Event
from kafka_self_healing.model.evidence import HEALER, CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.model.recovery import RecoveryResult, RequestState, StepReport
from kafka_self_healing.simulation import readings
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.invariants import Judge
from kafka_self_healing.simulation.tier_b.faults import DiesAt, Place, SleepsInAct
from kafka_self_healing.simulation.tier_b.process import Process, Surroundings
from kafka_self_healing.storage.lease import LOCK_FILE

STARTED_AGAIN_S: Final = 5.0
"""A daemon that ends because of its store is started again by its manager after so long."""

PATIENCE_S: Final = 2.0
"""How long an operator waits for an answer before he asks again."""

ASKS: Final = 60
SWITCHES: Final = frozenset({Order.PAUSE, Order.RESUME, Order.MAINTENANCE, Order.MAINTENANCE_END})


class Healer:
    """All processes of the healer, one after the other, and at times two beside each other.

    `eyes` and `hands` are those of tier A: here they only hold the weather, the grip, and what the
    judge wants to know of looks.
    """

    eyes: Eyes
    hands: Hands

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.around: Surroundings
        self.processes: list[Process] = []
        self.journal: list[Event] = []
        self.wrong: list[tuple[float, str, str]] = []
        """What was wrong with the daemon itself: when, the invariant, and in words."""

        self.dies_in_act: tuple[float, bool] | None = None
        self._doomed: list[DiesAt | SleepsInAct] = []
        self._touched: dict[str, int] = {}
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> Process | None:
        """The newest process, if it is there."""
        newest = self.processes[-1] if self.processes else None
        return newest if newest is not None and newest.up else None

    @property
    def clock_offset(self) -> float:
        """What UTC was set by."""
        return self.around.clock.offset_s

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.around.clock.offset_s = seconds

    def broken(self, code: str, text: str) -> None:
        """Note a broken invariant."""
        self.wrong.append((round(self.around.loop.time(), 3), code, text))

    # --- life and death -------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a process, unless one is there."""
        if self.active is not None:
            return
        self._forget()
        self.eyes.open = True
        process = Process(len(self.processes) + 1, self.around, self)
        self.processes.append(process)
        process.begin(self._ended)

    def _forget(self) -> None:
        for sight in self.eyes.sights.values():
            sight.bad.clear()

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        if process.dead:
            return
        process.ended_at = self.around.loop.time()
        error = None if task.cancelled() else task.exception()
        if error is not None and not _is_of_store(error):
            self.broken("crash", f"daemon {process.number} ended with {_told(error)}")
        elif error is None and not process.stopping:
            self.broken("crash", f"daemon {process.number} ended, and nobody had asked it to")
        if not process.stopping and process is self.processes[-1]:
            self.eyes.open = False
            self.around.world.agenda.after(STARTED_AGAIN_S, self.begin)

    def die(self, down_s: float, *, finish: bool) -> None:
        """SIGKILL for the process that acts; it comes back later."""
        process = self.active
        if process is not None:
            self._kill(process, down_s, finish=finish)

    def _kill(self, process: Process, down_s: float, *, finish: bool) -> None:
        process.kill(finish=finish)
        if process is self.processes[-1]:
            self.eyes.open = False
            self.around.world.agenda.after(down_s, self.begin)

    def suspend(self, for_s: float) -> None:
        """The machine sleeps, with all processes on it."""
        self.eyes.open = False
        for process in self.processes:
            if process.up:
                self.around.loop.freeze(process.number)
        self.around.world.agenda.after(for_s, self._wake_up)

    def _wake_up(self) -> None:
        self.eyes.open = self.active is not None
        for process in self.processes:
            if process.up:
                self.around.loop.thaw(process.number)

    def take_over(self, for_s: float) -> None:
        """Somebody removes the lock file and starts a second daemon beside the first."""
        first = self.active
        if first is None or first.store is None:
            return
        (self.around.settings.state_dir / LOCK_FILE).unlink(missing_ok=True)
        first.stopping = True
        second = Process(len(self.processes) + 1, self.around, self)
        self.processes.append(second)
        second.begin(self._ended)
        self.around.world.agenda.after(for_s, self._stop, first)

    def _stop(self, process: Process) -> None:
        if process.up and process.daemon is not None:
            process.daemon.stop()

    def hold_lease(self, *, held: bool) -> None:
        """Leases are taken over by second daemons here."""
        raise AssertionError(f"a lease is taken over by another daemon here, not {held}")

    # --- what the processes do -------------------------------------------------------------------

    def doom(self, fault: DiesAt | SleepsInAct) -> None:
        """The next process that comes by a place dies there, or is stopped."""
        self._doomed.append(fault)

    def spare(self) -> None:
        """Whatever was to befall a process does not any more."""
        self._doomed.clear()
        self.dies_in_act = None

    def passes(self, process: Process, place: Place) -> bool:
        """A process comes by a place. Return whether it dies there."""
        if process.dead:
            return True
        if place is Place.AFTER_COMMAND and self.dies_in_act is not None:
            (down_s, finish), self.dies_in_act = self.dies_in_act, None
            wait_s = self.around.rng.uniform(0.0, 0.6)
            self.around.world.agenda.after(wait_s, self._die_in, process, down_s, finish)
        for fault in self._doomed:
            if isinstance(fault, DiesAt):
                if fault.place is place:
                    self._doomed.remove(fault)
                    self._kill(process, fault.down_s, finish=True)
                    return True
            elif place is Place.AFTER_COMMIT and self._acting(in_step=fault.in_step):
                self._doomed.remove(fault)
                self._sleep(process, fault.for_s)
                return False
        return False

    def _acting(self, *, in_step: bool) -> bool:
        executing = [
            request
            for request in self.judge.record.requests.values()
            if request.state is RequestState.EXECUTING
        ]
        return any(len(r.begun_steps) > len(r.steps) for r in executing) or (
            bool(executing) and not in_step
        )

    def _sleep(self, process: Process, for_s: float) -> None:
        """SIGSTOP, in the middle of an act; somebody takes its lease; SIGCONT."""
        self.around.loop.freeze(process.number)
        agenda = self.around.world.agenda
        agenda.after(1.0, self._take_over_from, process, for_s + 60.0)
        agenda.after(1.0 + for_s, self._go_on, process)

    def _go_on(self, process: Process) -> None:
        if process.up:
            self.around.loop.thaw(process.number)

    def _take_over_from(self, process: Process, for_s: float) -> None:
        if process is self.active:
            self.take_over(for_s)

    def _die_in(self, process: Process, down_s: float, finish: bool) -> None:
        if process.up:
            self._kill(process, down_s, finish=finish)

    def commits(self, process: Process) -> None:
        """Read what was written, and give it to the judge."""
        assert process.journal is not None
        events = [entry.event for entry in process.journal.entries(after=len(self.journal))]
        self.journal.extend(events)
        self.judge.on_events(events)

    def commands(self, process: Process, node: NodeId, verb: str) -> None:
        """A command is about to be given: is there an intent for it, and is it this daemon's?"""
        holder = max(one.number for one in self.processes if one.store is not None)
        if process.number != holder:
            text = f"daemon {process.number}: {verb} on {node}, and daemon {holder} has the lease"
            self.broken("I12", text)
        open_ = [
            request
            for request in self.judge.record.requests.values()
            if request.node == node and request.state is RequestState.EXECUTING
        ]
        if not open_:
            self.broken("I6", f"daemon {process.number}: {verb} on {node} without an intent")
            return
        request = open_[-1]
        before = self._touched.setdefault(request.id, process.number)
        if before != process.number:
            text = f"daemon {process.number}: {request.id} was begun by daemon {before}"
            self.broken("I12", text)
        if request not in self.judge.acts and all(a.id != request.id for a in self.judge.acts):
            self.judge.on_act(request)

    def sees(self, process: Process, result: CheckResult) -> None:
        """Keep what the judge asks about looks."""
        if process is not self.processes[-1] or result.observer != HEALER:
            return
        sight = self.eyes.sights.get(result.subject)
        if sight is None or result.kind in {Kind.CERTIFICATE, Kind.LOG}:
            return
        sight.rounds += result.kind is Kind.PROTOCOL
        if result.kind is Kind.SERVICE and result.outcome is Outcome.ANSWERED:
            sight.service_look = max(sight.service_look, result.started)
        (sight.bad.discard if readings.looks_good(result) else sight.bad.add)(result.kind)

    # --- operators ----------------------------------------------------------------------------

    def hear(self, command: OperatorCommand) -> None:
        """An operator gives a command, and asks again until somebody answers."""
        task = self.around.loop.create_task(self._tell(command), name="operator")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _tell(self, command: OperatorCommand) -> None:
        request = {
            "command": command.order.value,
            "target": command.target,
            "reason": command.reason,
            "until": command.until,
        }
        for _ in range(ASKS):
            process = self.active
            if process is not None and process.daemon is not None:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await process.daemon.control(request, command.by)
                except ControlError:
                    if command.order not in SWITCHES:
                        return
                except TimeoutError:
                    pass
                else:
                    return
            await self.around.clock.sleep(1.0)

    def see(self, results: list[CheckResult], news: bool) -> None:
        """Tier A's eyes are shut here."""
        raise AssertionError(f"tier A's eyes saw {results} {news}")

    def report(self, life: int, said: StepReport | RecoveryResult) -> None:
        """Tier A's hands are idle here."""
        raise AssertionError(f"tier A's hands said {said} {life}")


def _is_of_store(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_of_store(one) for one in error.exceptions)
    return isinstance(error, StorageError)


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"
