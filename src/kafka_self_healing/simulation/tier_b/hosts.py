"""The hosts of the simulation: one look's answer, and commands that take time and may go wrong.

A command that was given belongs to the host: it is carried out, whatever becomes of the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import Asked, CommandOutcome, CommandResult, Host, Question, Reading
from kafka_self_healing.model.evidence import HostFact, Kind, LogFact, Outcome, ServiceFact
from kafka_self_healing.model.node import Cluster, NodeId
from kafka_self_healing.simulation.hands import Grip, Hands
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.tier_b.network import Network, Unanswered, never

NO_WAY_S: Final = 5.0
"""How long ssh tries to reach a host."""

UNSEEN_S: Final = 2.0
"""When the connection to a host breaks whose command is not seen to end."""

Effect = Callable[[], int]
"""Does what a command does and returns its exit code."""


class Commands:
    """What one daemon process has had done.

    `on_command` hears of each before it is given, `on_given` after; True: the process died there.
    """

    def __init__(
        self,
        hands: Hands,
        on_command: Callable[[NodeId, str], bool],
        on_given: Callable[[], bool],
    ) -> None:
        self._hands, self.rng = hands, hands.rng
        self.on_command, self.on_given = on_command, on_given
        self._called_off = False

    @property
    def grip(self) -> Grip:
        """How well acts go now."""
        return self._hands.grip

    def call_off(self) -> None:
        """The process died, and what it had given but not seen done does not happen."""
        self._called_off = True

    async def give(
        self, network: Network, node: Node, verb: str, takes_s: float, effect: Effect
    ) -> CommandResult:
        """Give a command; it raises nothing."""
        argv, clock = ("systemctl", verb, node.id), network.clock
        began = clock.now().mono_s
        if self.on_command(node.id, verb):
            await never()
        if node.dark:
            await clock.sleep(NO_WAY_S)
            return CommandResult(
                argv, CommandOutcome.NOT_STARTED, began, clock.now().mono_s, stderr="no route"
            )
        chance, ends = self.rng.random(), asyncio.get_running_loop().create_future()
        seen = chance >= self.grip.fails + self.grip.unknown
        if chance < self.grip.fails:
            network.world.agenda.after(takes_s, _settle, ends, 1)
        elif seen or self.rng.random() < 0.5:
            network.world.agenda.after(takes_s, self._carry_out, effect, ends)
        if self.on_given():
            await never()
        if chance >= self.grip.fails and not seen:
            await clock.sleep(UNSEEN_S)
            code, outcome = None, CommandOutcome.UNKNOWN
        else:
            code, outcome = await ends, CommandOutcome.EXITED
        words = "" if code == 0 else "Job failed" if code else "the connection broke"
        return CommandResult(argv, outcome, began, clock.now().mono_s, code, stderr=words)

    def _carry_out(self, effect: Effect, ends: asyncio.Future[int]) -> None:
        if not self._called_off:
            _settle(ends, effect())


class SimHosts:
    """The pool of hosts: one for each node."""

    def __init__(self, network: Network, commands: Commands) -> None:
        self._hosts = {node.id: SimHost(network, node) for node in network.world.nodes.values()}
        self._services = {
            node.id: SimService(network, node, commands) for node in network.world.nodes.values()
        }

    def host(self, node: NodeId) -> Host:
        """Return the host of a node."""
        return self._hosts[node]

    def service(self, node: NodeId) -> SimService:
        """Return the service manager of a node."""
        return self._services[node]

    def follow(self, cluster: Cluster) -> list[Host]:
        """The inventory does not change here."""
        del cluster
        return []

    async def close(self) -> None:
        """There is nothing to give back."""


class SimHost:
    """One host: its disks and the journal of its unit."""

    def __init__(self, network: Network, node: Node) -> None:
        self._network, self._node = network, node
        self.ping: bool | None = None

    @property
    def sudo(self) -> bool:
        """Nobody asks for sudo here."""
        return False

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        abandon: bool = False,
    ) -> CommandResult:
        """No program is run but the service manager's."""
        del env, abandon, timeout_s
        now = self._network.clock.now().mono_s
        return CommandResult(tuple(argv), CommandOutcome.NOT_STARTED, now, now)

    async def look(self, question: Question, *, timeout_s: float) -> Reading:
        """Return what is asked for, as far as there is any. Raises CheckError."""
        node, kind = self._node, Kind.LOG if question.commands else Kind.HOST
        try:
            _, fact = await self._network.read(node, kind, timeout_s)
        except Unanswered:
            fact = self._network.truth(node, kind)[1]
            self.ping = fact.ping if isinstance(fact, HostFact) else not node.dark
            raise CheckError(Outcome.TIMED_OUT, f"host of node {node.id}: no answer") from None
        if isinstance(fact, LogFact):
            now = self._network.clock.now().mono_s
            (asked,) = question.commands
            result = CommandResult(
                asked.argv, CommandOutcome.EXITED, now, now, 0, stdout="\n".join(fact.tail or ())
            )
            return Reading(commands={asked.name: result})
        assert isinstance(fact, HostFact)
        doors = self._network.doors(node, question.doors) if question.doors else None
        return Reading(data_dirs=fact.data_dirs, disks=fact.disks, doors=doors)

    async def is_here(self, address: str, *, timeout_s: float) -> bool:
        """It is the right host."""
        del address, timeout_s
        return True

    async def close(self) -> None:
        """There is nothing to give back."""


class SimService:
    """The service manager of one node, in systemd's manner."""

    spawns = False
    restarts = True

    def __init__(self, network: Network, node: Node, commands: Commands) -> None:
        self._network, self._node, self._commands = network, node, commands

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return the manager's word. Raises CheckError."""
        try:
            _, fact = await self._network.read(self._node, Kind.SERVICE, timeout_s)
        except Unanswered:
            text = f"the manager of node {self._node.id}: no answer"
            raise CheckError(Outcome.TIMED_OUT, text) from None
        assert isinstance(fact, ServiceFact)
        return fact

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Start the unit, and wait for it."""
        return await self._give("start", timeout_s, self._start)

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Queue an orderly stop."""
        return await self._give("stop", timeout_s, self._stop)

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Kill the process."""
        return await self._give("kill", timeout_s, self._kill)

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Start it after a kill, whether or not its end was noticed."""
        return await self._give("restart", timeout_s, self._restart)

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """Nobody asks for sudo here."""
        return ()

    def log(self, lines: int) -> Asked | None:
        """Return the command that shows the last log lines."""
        return Asked("log", ("journalctl", "-n", str(lines)), lines=lines)

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """A unit sees its host's directories."""
        del timeout_s
        return {path: path for path in paths}

    async def _give(self, verb: str, timeout_s: float, effect: Effect) -> CommandResult:
        rng, grip = self._commands.rng, self._commands.grip
        takes_s = min(rng.uniform(0.05, 0.4) + grip.slow_s, 0.9 * timeout_s)
        return await self._commands.give(self._network, self._node, verb, takes_s, effect)

    def _start(self) -> int:
        node = self._node
        started = self._network.world.start(node, ours=True)
        return 0 if started or (node.alive and not node.by_hand) else 1

    def _stop(self) -> int:
        if not self._node.by_hand:  # the unit does not know what was started outside of it
            self._network.world.stop(self._node, requested=True)
        return 0

    def _kill(self) -> int:
        node = self._node
        if node.by_hand or not node.alive:
            return 1
        self._network.world.end(node, signal=9)
        return 0

    def _restart(self) -> int:
        if self._node.alive and not self._node.by_hand:
            self._network.world.end(self._node, signal=9)
        return self._start()


def _settle(future: asyncio.Future[int], code: int) -> None:
    if not future.done():
        future.set_result(code)
