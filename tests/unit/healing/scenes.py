"""Scenes: a small fake cluster whose nodes break on cue, seen by the mind over virtual time.

`Scene.run` looks at every node once a second, takes a turn of the mind, and also wakes it whenever
it asked to be woken. Each turn is taken twice and must come to the same; its events, folded, must
give its memory; it must ask to be woken later than now and within its interval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kafka_self_healing.healing.healer import Input, Step, step
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import Answer, Decision
from kafka_self_healing.model.event import DaemonStarted, Event, IncidentClosed, Told
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    DataDirFact,
    Fact,
    HostFact,
    JvmFact,
    Kind,
    LogFact,
    Outcome,
    PartitionFact,
    PeersFact,
    ProtocolFact,
    QuorumFact,
    ServiceFact,
    TopicFact,
    VoterFact,
)
from kafka_self_healing.model.incident import Condition, Diagnosis, Incident
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, Role
from kafka_self_healing.model.notification import Notice
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import (
    ActClass,
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    StepReport,
)

ZERO = Instant(1000.0, 1_700_000_000.0)
KINDS = frozenset({Kind.SERVICE, Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.HOST})
BOTH = frozenset({Role.BROKER, Role.CONTROLLER})
RUNNING = ServiceFact(
    active="active", sub="running", result="success", pid=0, process_state="S", restarts=0,
    unit_file="enabled", job="", stop_requested=False, tracer_pid=0, lock_held=True,
    host_lock=False,
)  # fmt: skip
KILLED = replace(
    RUNNING, active="failed", sub="failed", result="signal", signal=9, process_state=None,
    tracer_pid=None, lock_held=False,
)  # fmt: skip
AUTO = Policy(mode=Mode.AUTO)
NODE_EXISTS = "KeeperErrorCode = NodeExists"
BOOT_S, ELECTION_S, SYNC_LIMIT_S = 2.0, 3.0, 10.0


def combined(count: int = 3, **changes: Any) -> Cluster:
    """A cluster of combined nodes 1..count."""
    nodes = {str(i): NodeConfig(str(i), BOTH, kinds=KINDS) for i in range(1, count + 1)}
    return Cluster("test", nodes=nodes, **changes)


def split(brokers: int = 3) -> Cluster:
    """Three controllers 1..3 and pure brokers from 4 on."""
    nodes = {
        str(i): NodeConfig(str(i), frozenset({Role.CONTROLLER}), kinds=KINDS) for i in (1, 2, 3)
    }
    for i in range(4, 4 + brokers):
        nodes[str(i)] = NodeConfig(str(i), frozenset({Role.BROKER}), kinds=KINDS)
    return Cluster("test", nodes=nodes)


def zookeeper(brokers: int = 3, members: int = 3, **changes: Any) -> Cluster:
    """Brokers 1..brokers, and an ensemble of members 201.., in ZooKeeper mode."""
    nodes = {
        str(i): NodeConfig(str(i), frozenset({Role.BROKER}), kinds=KINDS)
        for i in range(1, brokers + 1)
    }
    for i in range(201, 201 + members):
        role, kinds = frozenset({Role.ENSEMBLE}), KINDS - {Kind.JVM}
        nodes[str(i)] = NodeConfig(str(i), role, kinds=kinds)
    changes.setdefault("session_timeout_s", 18.0)
    return Cluster("test", ClusterMode.ZOOKEEPER, nodes=nodes, **changes)


@dataclass(slots=True)
class Node:
    """The truth about one process."""

    config: NodeConfig
    service: ServiceFact
    up: bool = True
    silent: bool = False
    cut: bool = False
    isolated: bool = False
    ready_at: float = 0.0
    heart: float = 0.0
    recovering: tuple[int, int] | None = None
    dies_at: float | None = None
    last_words: str = ""


def said_by(done: Step) -> Step:
    """Return a step without what it kept, to compare one that kept nothing with one that did."""
    view = replace(done.view, kept=None, last=None)
    cluster = replace(done.cluster, view=view, kept=None, changed=(), reread=True)
    return replace(done, view=view, cluster=cluster)


Lens = Callable[[CheckResult], CheckResult | None]


@dataclass(slots=True)
class Scene:
    """A cluster, the mind that watches it, and everything that it said.

    `hands`: "work", "idle" (an act never ends), "unknown", or "die" (a started process ends again
    after `life_s`). `outside`: whether a reference host is reached; None: there is none. `lens`
    changes each look on its way to the mind; None: the look is lost.
    """

    cluster: Cluster = field(default_factory=combined)
    policy: Policy = AUTO
    hands: str = "work"
    life_s: float = 3.0
    act_s: float = 1.0
    topics_shown: bool = True
    outside: bool | None = None
    min_isr: int = 2
    lens: Lens = lambda look: look
    now: Instant = ZERO
    memory: Memory = field(default_factory=Memory)
    view: View | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    leader: str | None = None
    epoch: int = 5
    leaderless_since: float = 0.0
    step: Step | None = None
    events: list[Event] = field(default_factory=list)
    acts: list[tuple[float, RecoveryRequest]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    inbox: list[Input] = field(default_factory=list)
    coming: list[tuple[float, Input]] = field(default_factory=list)
    heard: list[tuple[float, CheckResult]] = field(default_factory=list)
    not_whole: dict[int, tuple[str, ...]] = field(default_factory=dict)
    twice: bool = False

    def __post_init__(self) -> None:
        """Everything runs and has been well for long."""
        for index, (id_, config) in enumerate(self.cluster.nodes.items(), 1):
            service = replace(RUNNING, pid=100 * index, invocation=f"run-{index}-0")
            self.nodes[id_] = Node(config, service)
        self.leader = self.cluster.keepers[0]
        self.view = self.view or View.warm(self.cluster)

    # --- what happens ----------------------------------------------------------------------

    def crash(self, *ids: str, **service: Any) -> None:
        """Kill −9 (or whatever `service` says of the end)."""
        for id_ in ids:
            node = self.nodes[id_]
            ended = replace(KILLED, pid=0, invocation=node.service.invocation)
            node.service, node.up, node.silent = replace(ended, **service), False, False

    def hang(self, *ids: str) -> None:
        """SIGSTOP."""
        for id_ in ids:
            self.nodes[id_].silent = True
            self.edit(id_, process_state="T")

    def operator_stop(self, *ids: str) -> None:
        """A stop that somebody asked for."""
        self.crash(
            *ids, active="inactive", sub="dead", result="success", signal=None, exit_status=143,
            stop_requested=True,
        )  # fmt: skip

    def terminate(self, *ids: str) -> None:
        """SIGTERM by a stray tool: exit 143, and no stop request."""
        self.crash(*ids, result="exit-code", signal=None, exit_status=143)

    def cut(self, *ids: str) -> None:
        """All our own ways to the nodes are closed; the cluster notices nothing."""
        for id_ in ids:
            self.nodes[id_].cut = True

    def isolate(self, *ids: str) -> None:
        """The nodes are cut from their peers, not from us."""
        for id_ in ids:
            self.nodes[id_].isolated = True

    def edit(self, id_: str, **service: Any) -> None:
        """Change what the service manager says."""
        node = self.nodes[id_]
        node.service = replace(node.service, **service)

    def start(self, id_: str, *, boot_s: float = BOOT_S) -> None:
        """A new process; in KRaft it waits for its old session, in ZooKeeper mode it dies of it."""
        node, run = self.nodes[id_], self.nodes[id_].service
        number = int((run.invocation or "run-0-0").rpartition("-")[2]) + 1
        node.service = replace(
            RUNNING, pid=7000 + 10 * number + int(id_), unit_file=run.unit_file,
            invocation=f"run-{id_}-{number}",
        )  # fmt: skip
        node.up, node.silent, node.dies_at, node.last_words = True, False, None, ""
        session = self.cluster.session_timeout_s if node.config.is_broker else 0.0
        up, released = self.now.mono_s + boot_s, node.heart + session
        if self.cluster.mode is ClusterMode.KRAFT or released <= up:
            node.ready_at = max(up, released)
        else:
            node.ready_at, node.dies_at, node.last_words = released, up, NODE_EXISTS

    def say(self, order: Order, target: str = "", **more: Any) -> None:
        """An operator's command."""
        more.setdefault("by", "ada")
        self.inbox.append(OperatorCommand(order, target=target, reason="test", **more))

    # --- time ------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let virtual time pass, a look at everything every second."""
        end = self.now.mono_s + seconds
        while self.now.mono_s + 1.0 <= end + 1e-9:
            target = self.now.mono_s + 1.0
            while self.step is not None and self.step.wake_s < target - 1e-9:
                self._at(self.step.wake_s)
                self.turn(self._due())
            self._at(target)
            self._world()
            self.turn([*self._due(), *self.looks()])

    def until(self, holds: Callable[[], object], limit_s: float = 300.0) -> float:
        """Run until it holds; return the seconds that it took. It must within `limit_s`."""
        begun = self.now.mono_s
        while not holds():
            assert self.now.mono_s - begun < limit_s, "it did not come to that in time"
            self.run(1)
        return self.now.mono_s - begun

    def restart_healer(self) -> None:
        """The healer is killed and begins again with nothing but its journal."""
        before = fold(Memory(), self.events)
        assert before == self.memory
        started = DaemonStarted(self.now, "1", self.policy.mode.value, "run-2")
        self.events.append(started)
        self.memory = fold(before, [started])
        self.view, self.step = View.cold(self.cluster), None
        self.coming = []

    def turn(self, inputs: Sequence[Input]) -> Step:
        """Take one turn and check what must hold of every turn."""
        assert self.view is not None
        said, self.inbox = [*inputs, *self.inbox], []
        done = step(self.memory, self.view, said, self.policy, self.now)
        if self.twice:
            assert step(self.memory, self.view, said, self.policy, self.now) == done
            bare = replace(self.view, kept=None, last=None)
            anew = step(self.memory, bare, said, self.policy, self.now)
            assert said_by(anew) == said_by(done), "something that was kept is stale"
        assert fold(self.memory, done.events) == done.memory, "I11"
        assert self.now.mono_s < done.wake_s <= self.now.mono_s + self.policy.interval_s
        self.memory, self.view, self.step = done.memory, done.view, done
        self.events.extend(done.events)
        self.decisions.extend(done.decisions)
        for decision in done.decisions:
            if decision.answer is Answer.ACT:
                self._act(decision.request)
        return done

    def _at(self, mono_s: float) -> None:
        self.now = self.now.after(mono_s - self.now.mono_s)

    def _due(self) -> list[Input]:
        due = [said for at, said in self.coming if at <= self.now.mono_s + 1e-9]
        self.coming = [(at, said) for at, said in self.coming if at > self.now.mono_s + 1e-9]
        for said in due:
            if isinstance(said, RecoveryResult) and said.outcome is ActOutcome.DONE:
                self.start(said.node)
                node = self.nodes[said.node]
                if self.hands == "die":
                    node.dies_at = self.now.mono_s + self.life_s
        return due

    def _act(self, request: RecoveryRequest) -> None:
        """The hands: stop, start, and a result, all after `act_s`."""
        self.acts.append((self.now.mono_s, request))
        if self.hands == "idle":
            return
        at = self.now.mono_s + self.act_s
        if request.act_class is ActClass.RESTART:
            self.coming += [(at, StepReport(request.id, "stop", ended=e)) for e in (False, True)]
        self.coming += [(at, StepReport(request.id, "start", ended=e)) for e in (False, True)]
        outcome = ActOutcome.UNKNOWN if self.hands == "unknown" else ActOutcome.DONE
        result = RecoveryResult(request.id, request.node, request.action, outcome)
        self.coming.append((at, result))

    # --- the truth -------------------------------------------------------------------------

    def serves(self, node: Node) -> bool:
        """Whether it answers."""
        return node.up and not node.silent and self.now.mono_s >= node.ready_at

    def _world(self) -> None:
        now = self.now.mono_s
        for id_, node in self.nodes.items():
            if node.dies_at is not None and now >= node.dies_at and node.up:
                self.crash(id_, result="exit-code", signal=None, exit_status=1)
                node.dies_at = None
            if self.serves(node) and not node.isolated:
                node.heart = now
        voters = [id_ for id_ in self.cluster.keepers if self._votes(id_)]
        if self.leader is not None and self.leader not in voters:
            self.leader, self.leaderless_since = None, now
        if len(voters) <= len(self.cluster.keepers) // 2:
            if self.leader is not None:
                self.leader, self.leaderless_since = None, now
        elif self.leader is None and now - self.leaderless_since >= ELECTION_S:
            self.leader, self.epoch = voters[0], self.epoch + 1

    def _votes(self, id_: str) -> bool:
        node = self.nodes[id_]
        up = node.up and not node.silent and not node.isolated
        if node.config.is_member:
            return up and self.now.mono_s >= node.ready_at
        return up and (self.now.mono_s >= node.ready_at - self.cluster.session_timeout_s)

    def _counted(self, id_: str) -> bool:
        node = self.nodes[id_]
        return self.now.mono_s - node.heart < self.cluster.session_timeout_s

    # --- what is seen ----------------------------------------------------------------------

    def looks(self) -> list[CheckResult]:
        """One look of every kind at everything, as the eyes bring it."""
        found = []
        for look in self._all_looks():
            seen = self.lens(look)
            if seen is not None:
                found.append(seen)
        self.heard += [(look.ended, look) for look in found]
        return found

    def _all_looks(self) -> Iterator[CheckResult]:
        peers = self._peers()
        if self.outside is not None:
            outcome = Outcome.ANSWERED if self.outside else Outcome.UNREACHABLE
            yield self._look(HEALER, "test", Kind.LISTENER, outcome, None)
        for id_, node in self.nodes.items():
            for kind in sorted(node.config.kinds):
                outcome, fact = self._own(node, kind)
                yield self._look(HEALER, id_, kind, outcome, fact)
            outcome, _ = self._own(node, Kind.PROTOCOL)
            answered = outcome is Outcome.ANSWERED
            if node.config.is_broker:
                yield self._look(id_, "test", Kind.PEERS, outcome, peers if answered else None)
            if node.config.is_keeper:
                quorum = self._quorum(id_) if self._votes(id_) and not node.cut else None
                outcome = Outcome.ANSWERED if quorum is not None else outcome
                if quorum is None and answered:
                    outcome = Outcome.TIMED_OUT
                yield self._look(id_, "test", Kind.QUORUM, outcome, quorum)

    def _look(
        self, observer: str, subject: str, kind: Kind, outcome: Outcome, fact: Fact | None
    ) -> CheckResult:
        took = 1.0 if outcome is Outcome.TIMED_OUT else 0.05
        return CheckResult(
            observer, subject, kind, outcome, self.now.mono_s - took, self.now.mono_s, fact
        )

    def _own(self, node: Node, kind: Kind) -> tuple[Outcome, Fact | None]:
        if node.cut:
            return Outcome.TIMED_OUT, None
        match kind:
            case Kind.SERVICE:
                return Outcome.ANSWERED, node.service
            case Kind.HOST:
                where = DataDirFact("/data", same_device=True, has_identity=True, readable=True)
                return Outcome.ANSWERED, HostFact(reachable=True, ping=True, data_dirs=(where,))
            case Kind.LOG:
                return Outcome.ANSWERED, LogFact((node.last_words,))
        if not node.up:
            return Outcome.REFUSED, None
        if node.silent:
            return (Outcome.ANSWERED if kind is Kind.LISTENER else Outcome.TIMED_OUT), None
        ready = self.now.mono_s >= node.ready_at
        if kind is Kind.JVM:
            logs, segments = node.recovering or (None, None)
            return Outcome.ANSWERED, JvmFact(3 if ready else 1, logs, segments)
        if not ready:
            return Outcome.REFUSED, None
        if kind is Kind.PROTOCOL and node.config.is_member:
            word = self._quorum(node.config.id)
            return Outcome.ANSWERED, ProtocolFact(
                ruok=True, mode=word.mode, serving=word.mode is not None, synced=word.synced
            )
        return Outcome.ANSWERED, ProtocolFact() if kind is Kind.PROTOCOL else None

    def _peers(self) -> PeersFact:
        brokers = self.cluster.brokers
        if self.leader is not None or not self.not_whole:
            live = [id_ for id_ in brokers if self._counted(id_)]
            for part in range(len(brokers)):
                last = self.not_whole.get(part, brokers)
                self.not_whole[part] = tuple(live) or last[:1]
        listed = [id_ for id_ in brokers if self._counted(id_)] if self.leader else list(brokers)
        parts = []
        for part in range(len(brokers)):
            isr = self.not_whole[part]
            lead = next((i for i in (*brokers[part:], *brokers[:part]) if i in isr), "-1")
            lead = lead if lead in listed else "-1"
            parts.append(PartitionFact(part, brokers, isr, lead, reassigning=False))
        topic = TopicFact("orders", self.min_isr, unclean_election=False, partitions=tuple(parts))
        return PeersFact(tuple(listed), (), self.controller, (topic,) if self.topics_shown else ())

    def _quorum(self, id_: str) -> QuorumFact:
        if self.nodes[id_].config.is_member:
            return self._ensemble(id_)
        if id_ != self.leader:
            return QuorumFact()
        now_ms = int(self.now.mono_s * 1000)
        voters = []
        for voter in self.cluster.voters:
            fresh = voter == id_ or self._votes(voter)
            stamp = now_ms if fresh else int(self.nodes[voter].heart * 1000)
            voters.append(VoterFact(voter, stamp, stamp))
        return QuorumFact(id_, self.epoch, 2000, now_ms, tuple(voters), ())

    def _ensemble(self, id_: str) -> QuorumFact:
        """A member's word: its mode, and as leader how many it counts as synced."""
        if self.leader is None or not self._votes(id_):
            return QuorumFact()
        if id_ != self.leader:
            return QuorumFact(epoch=self.epoch, mode="follower")
        others = [i for i in self.cluster.members if i != id_ and self._synced(i)]
        return QuorumFact(id_, self.epoch, mode="leader", synced=len(others))

    def _synced(self, id_: str) -> bool:
        node = self.nodes[id_]
        silent = node.up and self.now.mono_s - node.heart <= SYNC_LIMIT_S
        return self._votes(id_) or silent

    @property
    def controller(self) -> str | None:
        """Who the metadata call the controller: in ZooKeeper mode the first registered broker."""
        if self.cluster.mode is ClusterMode.KRAFT:
            return self.leader
        return next((id_ for id_ in self.cluster.brokers if self._counted(id_)), None)

    # --- what was said ---------------------------------------------------------------------

    @property
    def notices(self) -> list[Notice]:
        """Everything that was told."""
        return [event.notice for event in self.events if isinstance(event, Told)]

    @property
    def closed(self) -> list[tuple[Condition, str]]:
        """The incidents that are over, and how."""
        over = [event for event in self.events if isinstance(event, IncidentClosed)]
        return [(event.incident.cause or event.incident.condition, event.how) for event in over]

    def found(self, subject: str) -> Diagnosis | None:
        """The newest diagnosis of a node, or of `test/CONDITION`."""
        assert self.step is not None
        return dict(self.step.diagnoses).get(subject)

    def incident(self, subject: str) -> Incident:
        """The open incident of a node, or of `test/CONDITION`."""
        return next(i for i in self.memory.incidents.values() if i.subject == subject)

    def acted(self) -> list[tuple[str, str]]:
        """The acts as (action, node)."""
        return [(request.action, request.node) for _, request in self.acts]

    def reasons(self, node: str) -> set[str]:
        """The reasons of the newest decision about a node."""
        said = [d for d in self.decisions if d.request.node == node]
        return {v.reason for v in said[-1].reasons if v.blocking} if said else set()

    def write(self, path: Path) -> None:
        """Write what was heard as a replay file: densely around the acts, then every 5 s."""
        nodes = [
            {"id": id_, "roles": sorted(role.value for role in node.config.roles)}
            for id_, node in self.nodes.items()
        ]
        header = {
            "format": "kafka-self-healing/replay-1", "cluster": self.cluster.name,
            "mode": self.cluster.mode.value,
            "session_timeout_s": self.cluster.session_timeout_s, "warm": True, "nodes": nodes,
        }  # fmt: skip
        rows: list[dict[str, Any]] = [self._row(look) for at, look in self.heard if self._keeps(at)]
        for at, request in self.acts:
            result = {"node": request.node, "outcome": "done", "exit_code": 0}
            rows.append({"at": at + self.act_s - ZERO.mono_s, "result": result})
        rows.sort(key=lambda row: (row["at"], "check" in row))
        path.write_text(
            "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in (header, *rows)),
            encoding="utf-8",
        )

    def _keeps(self, at: float) -> bool:
        last = max((act for act, _ in self.acts), default=at)
        return at <= last + 5 or (at - ZERO.mono_s) % 5 == 0

    def _row(self, look: CheckResult) -> dict[str, Any]:
        fact = {name: v for name, v in (to_plain(look.fact) or {}).items() if v is not None}
        check: dict[str, Any] = {
            "observer": look.observer, "subject": look.subject, "kind": look.kind.value,
            "outcome": look.outcome.value, "started": round(look.started - ZERO.mono_s, 3),
        }  # fmt: skip
        if fact:
            check["fact"] = fact
        return {"at": round(look.ended - ZERO.mono_s, 3), "check": check}
