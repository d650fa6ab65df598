"""Faults strike: each one turned into changes of the truth, of the eyes, or of the healer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.simulation import faults, troubles
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.hands import Grip, Hands
from kafka_self_healing.simulation.invariants import Judge
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.world import World

CLOCK_FROZEN_STEP_S = 60.0
OTHER_HEALER_S = 6.0
"""How long another daemon takes to look and to act, once it has the lease."""

GAP_S = 30.0
"""After a longer sleep the healer has to warm up again."""


class Healer(Protocol):
    """What faults and operators do to whoever heals. `dies_in_act`: seconds, and whether the act
    goes on without it."""

    clock_offset: float
    dies_in_act: tuple[float, bool] | None

    def die(self, down_s: float, *, finish: bool) -> None:
        """It is killed; an act under way goes on, or does not."""

    def suspend(self, for_s: float) -> None:
        """Its machine sleeps."""

    def hold_lease(self, *, held: bool) -> None:
        """The lease was lost or taken."""

    def hear(self, command: OperatorCommand) -> None:
        """An operator says something."""


@dataclass(slots=True)
class Stage:
    """All that takes part in one scenario. `on_fault`: hears of each before it strikes."""

    world: World
    eyes: Eyes
    hands: Hands
    shell: Healer
    judge: Judge
    lines: list[str] = field(default_factory=list)
    on_fault: Callable[[faults.Fault], None] | None = None

    def strike(self, fault: faults.Fault) -> None:
        """Let a fault happen now."""
        self.lines.append(f"{self.world.now:7.2f} fault    {fault}")
        self.judge.last_change = self.world.now
        if self.on_fault is not None:
            self.on_fault(fault)
        target = getattr(fault, "target", "")
        node = self.world.nodes.get(target)
        if isinstance(fault, faults.Says):
            self._say(fault.order, fault.target)
        elif node is not None:
            self._strike_node(fault, node)
        else:
            self._strike_many(fault)

    def hint(self, id_: str) -> None:
        """A warm connection has just been closed: the eyes look at once."""
        if not self.world.nodes[id_].dark:
            self.eyes.look((id_,), hint=True)

    def _later(self, seconds: float, node: Node, name: str, value: object) -> None:
        self.world.agenda.after(seconds, self._set, node, name, value)

    def _set(self, node: Node, name: str, value: object) -> None:
        setattr(node, name, value)
        node.since[name] = self.world.now
        self.world.touch(node)

    def _strike_node(self, fault: faults.Fault, node: Node) -> None:
        world = self.world
        match fault:
            case faults.Crash():
                node.recovery_s, node.dies_after_s = fault.recovery_s, fault.dies_after_s
                world.end(node, signal=9)
            case faults.Hang():
                node.dies_after_s = fault.dies_after_s
                world.freeze(node)
                if fault.for_s is not None:
                    world.agenda.after(fault.for_s, self._thaw, node, node.run)
            case faults.OperatorStop() | faults.Terminate() | faults.StartedByHand():
                self._somebody(fault, node)
            case faults.StartedBySomebody():
                self._start(node)
            case faults.Isolate():
                world.isolate(node)
                world.agenda.after(fault.for_s, world.rejoin_network, node)
            case faults.PowerCut():
                self._set(node, "without_power", value=True)
                world.end(node, signal=9)
                self._set(node, "dark", value=True)
                world.agenda.after(fault.for_s, self._boot, node, fault.starts_it)
            case faults.JmxOff():
                node.jmx_off = True
                self._later(fault.for_s, node, "jmx_off", value=False)
            case faults.Lie():
                node.lie = fault.family
                world.touch(node)
                self._later(fault.for_s, node, "lie", None)
            case faults.CertificateExpires():
                pass  # it was known from the beginning: `runner` has set it
            case faults.StorageMissing():
                self._set(node, "storage_missing", value=True)
            case faults.ForeignWork():
                self._foreign_work(fault, node)
            case (
                faults.OneWayCut()
                | faults.DiskFails()
                | faults.HeapExhausted()
                | faults.HostFreezes()
                | faults.CastOut()
                | faults.Zombie()
            ):
                troubles.strike(world, fault, node)
            case _:
                pass

    def _somebody(self, fault: faults.Fault, node: Node) -> None:
        """A person, or a stray tool, stops or starts the node."""
        world = self.world
        match fault:
            case faults.OperatorStop():
                world.stop(node, requested=True)
                node.masked = fault.then_masks
                world.touch(node)
                if fault.started_again_after_s is not None:
                    world.agenda.after(fault.started_again_after_s, self._start, node)
            case faults.Terminate():
                world.stop(node, requested=False)
            case faults.StartedByHand():
                world.end(node, signal=9)
                world.start(node, by_hand=True)
            case _:
                pass

    def _boot(self, node: Node, starts_it: bool) -> None:
        """Power is back; the unit is started if that is its way."""
        node.without_power = node.restarting = False
        node.boots += 1
        if not node.alive:
            node.signal = node.exit_status = None
        self._set(node, "dark", value=False)
        if starts_it and node.commissioned:
            self._start(node)

    def _thaw(self, node: Node, run: int) -> None:
        if node.run == run:
            self.world.thaw(node)

    def _start(self, node: Node) -> None:
        self.world.start(node)

    def _foreign_work(self, fault: faults.ForeignWork, node: Node) -> None:
        value: object = 4711 if fault.what == "tracer" else "somebody's"
        none: object = 0 if fault.what == "tracer" else ""
        if fault.what == "tracer":
            self.world.freeze(node)
        self._set(node, fault.what, value)
        if fault.for_s is not None:
            self._later(fault.for_s, node, fault.what, none)

    def _strike_many(self, fault: faults.Fault) -> None:
        world, agenda = self.world, self.world.agenda
        match fault:
            case faults.CutHealer(targets=targets, for_s=for_s):
                for id_ in targets:
                    self._set(world.nodes[id_], "dark", value=True)
                    self._later(for_s, world.nodes[id_], "dark", value=False)
            case faults.CutOff(for_s=for_s):
                world.cut_off_at = world.now
                agenda.after(for_s, self._joined)
            case faults.QuorumLoss(targets=targets):
                for id_ in targets:
                    world.end(world.nodes[id_], signal=9)
            case faults.BadWeather():
                self.eyes.weather.loss, self.eyes.weather.delay_s = fault.loss, fault.delay_s
                agenda.after(fault.for_s, self._fair)
            case faults.Clumsy():
                self.hands.grip.fails, self.hands.grip.unknown = fault.fails, fault.unknown
                self.hands.grip.slow_s = fault.slow_s
                agenda.after(fault.for_s, self._deft)
            case faults.ClockStep():
                self.shell.clock_offset += fault.by_s
                self.judge.stepped_back |= fault.by_s < 0
                if abs(fault.by_s) > CLOCK_FROZEN_STEP_S:
                    self.judge.clock_is_set()
            case faults.Suspend():
                self.shell.suspend(fault.for_s)
                if fault.for_s > GAP_S:
                    agenda.after(fault.for_s, self._awake)
            case faults.LeaseLost():
                self._lease_lost(fault)
            case faults.HealerCrash():
                self._healer_dies(fault)
            case _:
                pass

    def _joined(self) -> None:
        self.world.cut_off_at = None

    def _fair(self) -> None:
        self.eyes.weather.loss = self.eyes.weather.delay_s = 0.0

    def _deft(self) -> None:
        self.hands.grip = Grip()

    def _awake(self) -> None:
        self.judge.blind_since = self.world.now

    def _lease(self, *, held: bool) -> None:
        self.judge.lease = held
        self.shell.hold_lease(held=held)

    def _healer_dies(self, fault: faults.HealerCrash) -> None:
        if fault.in_act:
            self.shell.dies_in_act = (fault.down_s, fault.finish)
        else:
            self.shell.die(fault.down_s, finish=fault.finish)

    def _lease_lost(self, fault: faults.LeaseLost) -> None:
        self._lease(held=False)
        self.world.agenda.after(fault.for_s, self._lease_back)
        if fault.acts:
            self.world.agenda.after(OTHER_HEALER_S, self._other_healer)

    def _lease_back(self) -> None:
        self._lease(held=True)
        self.judge.blind_since = self.world.now

    def _other_healer(self) -> None:
        """Whoever holds the lease starts what is gone and may be started."""
        for node in self.world.nodes.values():
            away = node.stop_requested or node.id in self.world.excused or node.storage_missing
            busy = node.job or node.host_lock or node.dark or node.no_shell
            if node.commissioned and not (away or busy or self.world.registered(node.id)):
                self.world.start(node)

    def _say(self, order: Order, target: str) -> None:
        plan = self.judge.consent.plan
        if target == faults.PLAN:
            if plan is None or not plan.open:
                return
            target = plan.incident
        elif order in {Order.ACK, Order.APPROVE}:
            found = [i for i in self.judge.record.incidents.values() if i.subject == target]
            if not found:
                return
            if order is Order.ACK:
                self.world.excused.add(target)
            target = found[0].id
        elif order is Order.MAINTENANCE:
            self.world.excused.add(target)
        elif order is Order.MAINTENANCE_END:
            self.world.excused.discard(target)
        self.shell.hear(OperatorCommand(order, "an operator", "in the simulation", target))
