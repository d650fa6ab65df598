"""A daemon among fakes: a store, eyes, hands and a voice that do what a test says, in virtual time.

The mind is the real one. Three combined nodes are looked at once a second; `break_node` makes one
crash, and a start by the fake hands brings it back.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any

from tests.unit.monitoring.virtual_time import LoopClock, run_virtual

from kafka_self_healing.daemon import Daemon
from kafka_self_healing.errors import StorageError
from kafka_self_healing.model.event import Event, OperatorSaid, RequestChanged, Told
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Fact,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
    ProtocolFact,
    QuorumFact,
    ServiceFact,
    TopicFact,
    VoterFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId, Role
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import (
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    RequestState,
    StepReport,
)
from kafka_self_healing.notification import NotificationService

KINDS = frozenset({Kind.SERVICE, Kind.LISTENER, Kind.PROTOCOL})
BOTH = frozenset({Role.BROKER, Role.CONTROLLER})
AUTO = Policy(mode=Mode.AUTO)
WARM_S = 100.0
"""After so long everything has been well for longer than the stable window."""
HEAL_S = 20.0
"""Within so long a crash is confirmed and answered by a start."""


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test in virtual time; no task may be left behind."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        run_virtual(test(*arguments, **named))

    return run


def cluster_of(count: int) -> Cluster:
    """Combined nodes 1..count."""
    nodes = {str(n): NodeConfig(str(n), BOTH, kinds=KINDS) for n in range(1, count + 1)}
    return Cluster("test", nodes=nodes)


class FakeStore:
    """Keeps the events in a list. `broken`: it refuses; `during`: called in each commit.

    `once_read` is called once what was asked for has been read.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.letters: list[Notification] = []
        self.broken = self.unreadable = False
        self.lease = True
        self.during: Callable[[Sequence[Event]], None] | None = None
        self.once_read: Callable[[], None] = lambda: None
        self.attempts = 0

    def append(
        self,
        events: Sequence[Event],
        notifications: Sequence[Notification] = (),
        channels: Sequence[str] = (),
    ) -> int:
        """Take all, or raise StorageError."""
        self.attempts += 1
        if self.broken:
            raise StorageError("the disk is full")
        self.events.extend(events)
        self.letters.extend(notifications)
        if self.during is not None:
            self.during(events)
        return len(self.events)

    def read(self, after: int) -> Iterable[Event]:
        """Return the events after a number."""
        if self.unreadable:
            raise StorageError("the disk cannot be read")
        there = self.events[after:]
        self.once_read()
        return there

    def holds_lease(self) -> bool:
        """Return what the test says."""
        return self.lease

    def follow(self) -> None:
        """There is no audit file."""

    def states(self, node: str) -> list[RequestState]:
        """Return the states through which the requests for a node went."""
        changes = [event for event in self.events if isinstance(event, RequestChanged)]
        return [event.request.state for event in changes if event.request.node == node]

    def orders(self) -> list[str]:
        """Return the operators' commands that are written down."""
        said = [event for event in self.events if isinstance(event, OperatorSaid)]
        return [event.command.order.value for event in said]


class FakeEyes:
    """Looks at everything once a second, and at once when asked to."""

    def __init__(self, house: House, cluster: Cluster, heard: Callable[[CheckResult], None]):
        self._house, self._cluster, self._heard = house, cluster, heard
        self._asked = asyncio.Event()

    def look(self, nodes: Iterable[NodeId], kinds: Iterable[Kind], *, reach: bool = False) -> None:
        """Look at once, at everything."""
        self._asked.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._asked.clear()
            await asyncio.sleep(0.01)
            if self._house.seeing:
                self._look()
            try:
                async with asyncio.timeout(1.0):
                    await self._asked.wait()
            except TimeoutError:
                continue

    def _look(self) -> None:
        now, house = asyncio.get_running_loop().time(), self._house
        for id_ in self._cluster.nodes:
            up = id_ not in house.gone
            shut = Outcome.ANSWERED if up else Outcome.REFUSED
            looks: list[tuple[str, str, Kind, Outcome, Fact | None]] = [
                (HEALER, id_, Kind.SERVICE, Outcome.ANSWERED, house.service(id_)),
                (HEALER, id_, Kind.LISTENER, shut, None),
                (HEALER, id_, Kind.PROTOCOL, shut, ProtocolFact() if up else None),
            ]
            if up:
                looks += [
                    (id_, "test", Kind.PEERS, Outcome.ANSWERED, house.peers(self._cluster)),
                    (id_, "test", Kind.QUORUM, Outcome.ANSWERED, house.quorum(self._cluster)),
                ]
            for observer, subject, kind, outcome, fact in looks:
                self._heard(CheckResult(observer, subject, kind, outcome, now, now, fact))


class FakeHands:
    """Starts a node after `seconds`; remembers what it was told and what was written down then."""

    def __init__(self, house: House, report: Callable[[StepReport], Awaitable[None]]) -> None:
        self._house, self._report = house, report
        self.seconds = 0.5
        self.begun: list[RecoveryRequest] = []
        self.ended: list[str] = []
        self.intents: list[bool] = []
        self.draining = False
        self.given = True
        self._off: set[str] = set()

    async def execute(self, request: RecoveryRequest, node: NodeConfig) -> RecoveryResult:
        """Carry out a start; a cancellation makes its end unknown."""
        self.intents.append(RequestState.EXECUTING in self._house.store.states(node.id))
        self.begun.append(request)
        outcome = ActOutcome.DONE
        try:
            await self._report(StepReport(request.id, "start", ended=False))
            await asyncio.sleep(self.seconds)
            if request.id not in self._off:
                self._house.start(node.id)
                await self._report(StepReport(request.id, "start", ended=True))
        except asyncio.CancelledError:
            outcome = ActOutcome.UNKNOWN
        self.ended.append(request.id)
        return RecoveryResult(request.id, node.id, request.action, outcome)

    def call_off(self, nodes: Collection[str], why: str) -> list[str]:
        """End what has given no command yet: nothing, unless `given` is False."""
        del why
        early = [] if self.given else [r.id for r in self.begun if r.node in nodes]
        ended = [id_ for id_ in early if id_ not in self.ended]
        self._off.update(ended)
        return ended

    async def drain(self, timeout_s: float) -> bool:
        """Remember that no further step is wanted."""
        self.draining = True
        return True


class FakeVoice:
    """Composes with the real service and remembers its alarms."""

    def __init__(self) -> None:
        self.alarms: list[str] = []
        self._service = NotificationService()

    @property
    def channels(self) -> Sequence[str]:
        """One."""
        return ["mail"]

    def compose(self, told: Told) -> Notification:
        """Make a notification of a notice."""
        return self._service.compose(told.notice)

    def notify(self) -> None:
        """Nothing is delivered."""

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def alarm(self, text: str) -> None:
        """Remember it."""
        self.alarms.append(text)


class House:
    """The daemon and everything around it. Use it inside a `virtual` test."""

    def __init__(self, policy: Policy = AUTO, *, events: Sequence[Event] = ()) -> None:
        self.store, self.voice = FakeStore(), FakeVoice()
        self.store.events.extend(events)
        self.gone: set[str] = set()
        self.runs: dict[str, int] = {}
        self.seeing = True
        self.eyes: list[FakeEyes] = []
        self.daemon = Daemon(
            cluster_of(3),
            policy,
            clock=LoopClock(),
            store=self.store,
            in_store=self._in_store,
            eyes=self._make_eyes,
            hands=self._make_hands,
            voice=self.voice,
            run_id="run",
        )
        self._task: asyncio.Task[None] | None = None

    hands: FakeHands

    async def open(self, *, warm: bool = True) -> None:
        """Start the daemon, and let it warm up."""
        self._task = asyncio.create_task(self.daemon.run())
        await asyncio.sleep(WARM_S if warm else 0.5)

    async def close(self) -> float:
        """Ask the daemon to end and return the seconds that it took."""
        began = asyncio.get_running_loop().time()
        self.daemon.stop()
        assert self._task is not None
        await self._task
        return asyncio.get_running_loop().time() - began

    def break_node(self, node: str) -> None:
        """Its process is killed."""
        self.gone.add(node)

    def start(self, node: str) -> None:
        """It runs again, as a new process."""
        self.gone.discard(node)
        self.runs[node] = self.runs.get(node, 0) + 1

    def service(self, node: str) -> ServiceFact:
        """What the service manager says of a node."""
        run = self.runs.get(node, 0)
        up = node not in self.gone
        return ServiceFact(
            active="active" if up else "failed",
            sub="running" if up else "failed",
            result="success" if up else "signal",
            signal=None if up else 9,
            pid=1000 * int(node) + run if up else 0,
            restarts=0,
            unit_file="enabled",
            job="",
            stop_requested=False,
            tracer_pid=0,
            lock_held=up,
            host_lock=False,
            invocation=f"run-{run}",
        )

    def peers(self, cluster: Cluster) -> PeersFact:
        """What each living node says of the others."""
        there = tuple(id_ for id_ in cluster.nodes if id_ not in self.gone)
        all_ = tuple(cluster.nodes)
        part = PartitionFact(0, all_, there, leader=there[0], reassigning=False)
        topic = TopicFact("orders", min_isr=2, unclean_election=False, partitions=(part,))
        return PeersFact(listed=there, controller=there[0], topics=(topic,))

    def quorum(self, cluster: Cluster) -> QuorumFact:
        """The leader's account."""
        now_ms = int(asyncio.get_running_loop().time() * 1000)
        there = [id_ for id_ in cluster.nodes if id_ not in self.gone]
        voters = tuple(
            VoterFact(id_, stamp, stamp)
            for id_ in cluster.nodes
            for stamp in [now_ms if id_ in there else 0]
        )
        return QuorumFact(there[0], 1, fetch_timeout_ms=2000, now_ms=now_ms, voters=voters)

    async def _in_store(self, work: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        return work()

    def _make_eyes(
        self, cluster: Cluster, policy: Policy, heard: Callable[[CheckResult], None]
    ) -> FakeEyes:
        self.eyes.append(FakeEyes(self, cluster, heard))
        return self.eyes[-1]

    def _make_hands(self, report: Callable[[StepReport], Awaitable[None]]) -> FakeHands:
        self.hands = FakeHands(self, report)
        return self.hands
